"""Many drivers by many people on one sheet."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xfer.figures import tile
from xfer.media.pictures import write_picture
from xfer.reenact.filming import Made, shown
from xfer.reenact.identities import Subject
from xfer.reenact.moments import Moment
from xfer.reenact.placing import as_image, source_of
from xfer.reenact.settings import Settings
from xfer.reenact.studio import Studio


def make_sheet(
    out: Path,
    rows: Sequence[tuple[Subject, Sequence[Moment]]],
    studio: Studio,
    settings: Settings,
) -> Made:
    """Drivers along the top, one row a person, the person at its left.

    Args:
        rows: Every person with the drivers' moments, as read for them.
    """
    drivers = [moment.aligned for moment in rows[0][1]]
    edge = studio.model.generator.resolution
    blank = torch.ones(1, 3, edge, edge)
    cells = [blank] + [blank if image is None else _fitted(image, edge) for image in drivers]
    for subject, moments in rows:
        cells.append(_fitted(subject.portrait, edge))
        for moment in moments:
            (pixels,) = shown([moment], subject, studio, settings)
            cells.append(_fitted(as_image(pixels), edge))
    sheet = tile(torch.cat(cells), 1 + len(drivers))
    write_picture(out, sheet[None], source_of(settings), studio.note)
    return Made(out, 1, 0.0)


def _fitted(image: Float[Tensor, "1 3 _ _"], edge: int) -> Float[Tensor, "1 3 edge edge"]:
    if image.shape[2:] == (edge, edge):
        return image
    return F.interpolate(image, (edge, edge), mode="bilinear", antialias=True)
