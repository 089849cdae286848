"""From methods and trials to numbers: one for each method, trial and metric.

Names of metrics: `X_error` is a distance from the truth and `X_r` a correlation with it, over
trials; `accepted` says that the identity is recognised at 1% false accepts among the trials'
people, `median_rank` how many of them look more like the result than the identity, plus one;
`psnr`, `ssim` and `perceptual` compare whole pictures with the truth, with `_face` its face alone;
`frechet` is the distance of all of a method's pictures from what they should be like, as sets.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from xfer.axes import Image
from xfer.baselines import Driver, Method
from xfer.errors import expect
from xfer.evaluate.judges import (
    DlibFound,
    DlibJudge,
    Judge,
    Readings,
    perceptual_distances,
    readings,
)
from xfer.evaluate.sets import Reference
from xfer.evaluate.trials import Trials
from xfer.metrics import transfer
from xfer.metrics.recognition import ranks

BATCH = 16
INVERSION = "copy identity, inverted"
"""The method whose pictures are what the generator knows of the identity."""
EXPRESSION = (
    "jaw", "smile", "pucker", "brow", "brow_tilt", "frown", "blink_left", "blink_right",
)  # fmt: skip
"""Factors whose mean error is the expression error."""
READ, TRUE = "_read", "_true"
"""Ends of the names under which a reading and its truth stand beside each other."""
Numbers = dict[str, np.ndarray]


def evaluate(
    methods: Mapping[str, Method],
    trials: Trials,
    judge: Judge,
    dlib: DlibJudge | None = None,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """One row for each method, trial and metric: method, trial, metric, value.

    What a judge reads stands beside its truth as `X_read` and `X_true`. Where the truth is not
    known, motion is compared with what the judge reads of the driver. In `attrs`: the judge's own
    errors, the threshold of acceptance, mode, who the identity of each trial is, and under `sets`
    what is true of all pictures of a method together, as rows of the summary.

    Args:
        dlib: A further judge; trials in which it finds no face have no number of its.
        device: Where the methods compute.
    """
    expect(methods, "there is no method to evaluate")
    inversion = draw(methods[INVERSION], trials, device) if INVERSION in methods else None
    bench, tables, sets = _Bench(trials, judge, dlib, inversion), [], []
    reference = None if judge.look is None else Reference(judge, trials)
    for name, method in methods.items():
        drawn = inversion if name == INVERSION else draw(method, trials, device)
        tables.append(_long(name, bench.measure(drawn)))
        if reference is not None:
            sets.append([name, "frechet", *reference.distance(drawn), len(drawn)])
    table = pd.concat(tables, ignore_index=True)
    table.attrs = {
        "judge_errors": dict(judge.errors),
        "threshold": bench.threshold,
        "mode": trials.mode,
        "people": trials.people.tolist(),
        "sets": sets,
        "frechet": None if reference is None else reference.facts,
    }
    return table


@torch.no_grad()
def draw(method: Method, trials: Trials, device: torch.device | str = "cpu") -> Image:
    """A method's pictures of all trials."""
    drawn = []
    for start in range(0, len(trials), BATCH):
        part = lambda x, at=start: None if x is None else x[at : at + BATCH].to(device)
        driver = Driver(*(part(pictures) for pictures in trials.driver))
        drawn.append(method(driver, part(trials.identity)).float().cpu().clamp(-1, 1))
    return torch.cat(drawn)


def _long(method: str, numbers: Numbers) -> pd.DataFrame:
    wide = pd.DataFrame(numbers)
    long = wide.melt(var_name="metric", ignore_index=False).rename_axis("trial").reset_index()
    long.insert(0, "method", method)
    return long


class _Bench:
    """What results are held against, read once."""

    def __init__(
        self, trials: Trials, judge: Judge, dlib: DlibJudge | None, inversion: Image | None
    ):
        self.trials, self.judge, self.dlib = trials, judge, dlib
        self.photo, driver = (
            readings(judge, trials.identity),
            readings(judge, trials.driver.picture),
        )
        self.inversion = None if inversion is None else readings(judge, inversion).embeddings
        self.motion = self._true_motion(driver)
        self.threshold = transfer.threshold_among(self.photo.embeddings, trials.people)
        if dlib is not None:
            self.dlib_photo = dlib.find(trials.identity)

    def _true_motion(self, driver: Readings) -> Float[np.ndarray, "n factors"]:
        if self.trials.motion is None:
            return driver.factors
        return torch.stack([self.trials.motion[name] for name in self.judge.names], 1).numpy()

    def measure(self, drawn: Image) -> Numbers:
        """Every metric, trial by trial."""
        found = readings(self.judge, drawn)
        numbers = self._motion(found) | self._person(found) | self._pictures(drawn)
        if self.dlib is not None:
            numbers |= self._by_dlib(self.dlib.find(drawn))
        return numbers

    def _motion(self, found: Readings) -> Numbers:
        read = dict(zip(self.judge.names, found.factors.T, strict=True))
        true = dict(zip(self.judge.names, self.motion.T, strict=True))
        for values in (read, true):
            if {"blink_left", "blink_right"} <= values.keys():
                values["blink"] = (values["blink_left"] + values["blink_right"]) / 2
        numbers: Numbers = {}
        for name in read:
            gap = np.abs(read[name] - true[name])
            if name.endswith("_deg"):
                gap = transfer.angle_errors(read[name][:, None], true[name][:, None])[:, 0]
            numbers |= {
                f"{name}_error": gap,
                name + READ: read[name],
                name + TRUE: true[name],
            }
        named = [i for i, name in enumerate(self.judge.names) if name in EXPRESSION]
        if named:
            both = found.factors[:, named], self.motion[:, named]
            numbers["expression_error"] = transfer.expression_errors(*both)
        if self.trials.landmarks is not None:
            truth = self.trials.landmarks.numpy()
            numbers["landmark_error"] = transfer.landmark_errors(found.landmarks, truth)
        return numbers

    def _person(self, found: Readings) -> Numbers:
        cosine = transfer.cosines(found.embeddings, self.photo.embeddings)
        numbers = {
            "cosine_photo": cosine,
            "accepted": (cosine > self.threshold).astype(float),
            "rank": self._ranks(found).astype(float),
        }
        if self.inversion is not None:
            numbers["cosine_inversion"] = transfer.cosines(found.embeddings, self.inversion)
        return numbers

    def _ranks(self, found: Readings) -> np.ndarray:
        """Among one photo of each person: the own one is that which the method was shown."""
        people = len(np.unique(self.trials.people))
        per_person, ranked = len(self.trials) // people, np.empty(len(self.trials), int)
        for turn in range(per_person):
            rows = np.arange(people) * per_person + turn
            gallery = self.photo.embeddings[rows]
            ranked[rows] = ranks(found.embeddings[rows], gallery, np.arange(people))
        return ranked

    def _pictures(self, drawn: Image) -> Numbers:
        truth, face = self.trials.driver.truth, self.trials.face
        if truth is None:
            return {}
        a, b = drawn.numpy(), truth.numpy()
        numbers = {"psnr": transfer.psnr(a, b), "ssim": transfer.ssim(a, b)}
        if self.judge.look is not None:
            numbers["perceptual"] = perceptual_distances(self.judge, drawn, truth)
        if face is None:
            return numbers
        mask, masked = face.numpy(), torch.where(face[:, None], drawn, truth)
        numbers |= {
            "psnr_face": transfer.psnr(a, b, mask), "ssim_face": transfer.ssim(a, b, mask)
        }  # fmt: skip
        if self.judge.look is not None:
            numbers["perceptual_face"] = perceptual_distances(self.judge, masked, truth)
        return numbers

    def _by_dlib(self, found: DlibFound) -> Numbers:
        both = found.found & self.dlib_photo.found
        apart = np.linalg.norm(found.codes - self.dlib_photo.codes, axis=1)
        numbers = {"dlib_found": found.found.astype(float), "dlib_distance": apart}
        limit = self._dlib_limit()
        if limit is not None:
            numbers["dlib_accepted"] = np.where(both, (apart < limit).astype(float), np.nan)
        if self.trials.motion is not None:
            yaw = self.trials.motion["yaw_deg"].numpy()
            numbers |= {"dlib_turn_read": found.turned, "dlib_turn_true": yaw}
        if self.trials.landmarks is not None:
            truth = self.trials.landmarks.numpy().astype(float)
            numbers["dlib_landmark_error"] = transfer.landmark_errors(found.landmarks, truth)
        return numbers

    def _dlib_limit(self) -> float | None:
        """The distance below which 1% of the pairs of two people lie."""
        here = self.dlib_photo.found
        codes, people = self.dlib_photo.codes[here], self.trials.people[here]
        upper = np.triu_indices(len(codes), k=1)
        different = people[upper[0]] != people[upper[1]]
        if not different.any():
            return None
        apart = np.linalg.norm(codes[upper[0]] - codes[upper[1]], axis=1)
        return float(np.quantile(apart[different], 0.01))
