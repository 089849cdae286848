"""All of a method's pictures as one set: how far is it from the set that it should be like?"""

from typing import Any

import numpy as np
import torch

from xfer.axes import Image
from xfer.evaluate.judges import Judge
from xfer.evaluate.trials import Trials
from xfer.instruments import set_features
from xfer.metrics.frechet import frechet_distance, frechet_interval
from xfer.metrics.intervals import Interval


class Reference:
    """What a method's pictures should be like, in the features of the judging recogniser.

    Where the truth is known these are the truths, so that a perfect method is at 0; else the
    drivers and the identities, since a method shows people and poses of the same folder.

    Attributes:
        facts: against: what is compared with; pictures: how many; halves: the distance of two
            halves of them, of different people (None for fewer than four pictures). Small sets
            lie far apart, however alike they are.
    """

    def __init__(self, judge: Judge, trials: Trials):
        self._judge, self._people = judge, trials.people
        truth = trials.driver.truth
        shown, owners = [truth], [trials.people]
        if truth is None:
            shown, owners = [trials.driver.picture, trials.identity], [trials.givers, trials.people]
        self._features = set_features(judge.look, torch.cat(shown))
        self._owners = np.concatenate(owners)
        self.facts: dict[str, Any] = {
            "against": "drivers and identities" if truth is None else "truths",
            "pictures": len(self._features),
            "halves": self._halves(),
        }

    def distance(self, drawn: Image) -> Interval:
        """Squared Fréchet distance of a method's pictures, one a trial; drawn again by people."""
        found = set_features(self._judge.look, drawn)
        return frechet_interval(found, self._features, self._people, self._owners)

    def _halves(self) -> float | None:
        first = self._owners < (self._owners.max() + 1) / 2
        if min(first.sum(), (~first).sum()) < 2:
            return None
        return frechet_distance(self._features[first], self._features[~first])
