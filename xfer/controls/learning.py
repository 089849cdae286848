"""Controls learned from motions and what any reader of factors says of the pictures.

The reader may err: least squares averages its errors out, and `calibrate` then asks what sliders
really do to pictures, and undoes what they do to other factors.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Image
from xfer.controls.factors import Controls, ControlsConfig
from xfer.errors import expect

Reader = Callable[[Image], Float[Tensor, "_ factors"]]
"""Pictures to factors: an instrument, a reader of landmarks, a person with patience."""
Draw = Callable[[Float[Tensor, "batch bottleneck"]], Image]
"""Motions to pictures of people who show them."""

LEAST_KNOWN = 0.4
"""A factor whose reading from h correlates less with what the reader sees is no control."""
LEAST_DOUBT = 0.01
"""Share of a factor's variance that a reading from h never tells."""
LEAST_ANSWER = 0.25
"""A factor that answers to its slider by less than this share is left as it was learned."""


def ridge(
    x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"], noise: float
) -> tuple[Float[Tensor, "outputs inputs"], Float[Tensor, "inputs inputs"]]:
    """Weights of y - mean = W (x - mean), and the regularised covariance of x.

    Args:
        noise: Standard deviation of the noise in x to be proof against, in units of x.
    """
    x, y = (v.double() - v.double().mean(0) for v in (x, y))
    covariance = x.T @ x / len(x) + noise**2 * torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(covariance, x.T @ y / len(x)).T, covariance


def learn_controls(
    h: Float[Tensor, "n bottleneck"],
    readings: Float[Tensor, "n factors"],
    names: Sequence[str],
    noise: float = 0.03,
) -> Controls:
    """Controls from the motions of pictures and the factors read in them.

    Factors that motions hardly tell are left out: to hold them still, the others would have to go
    astray. Of all moves of h that change one factor and no other, D takes the one that is likeliest
    among the motions seen: D = C R' (R C R')^-1, with their covariance C.

    Args:
        noise: Share of h's mean spread that is taken for noise: larger is smoother.
    """
    expect(len(h) > len(names) + 1, f"more pictures than factors are needed; got {len(h)} pictures")
    spread = readings.std(0)
    still = [name for name, s in zip(names, spread, strict=True) if not s > 1e-6]
    expect(not still, f"what never changes cannot be learned: {', '.join(still)}")
    scale = h.double().var(0).mean().sqrt().item()
    reads, covariance = ridge(h, readings, noise * scale)
    told = (h.double() - h.double().mean(0)) @ reads.T
    known = [
        row
        for row, (a, b) in enumerate(zip(told.T, readings.double().T, strict=True))
        if torch.corrcoef(torch.stack([a, b]))[0, 1] >= LEAST_KNOWN
    ]
    expect(known, "motions tell none of the factors: train the model for longer")
    names, reads = [names[row] for row in known], reads[known]
    readings, spread = readings[:, known], spread[known]
    along = covariance @ reads.T
    moves = torch.linalg.solve(reads @ along, along.T).T
    controls = Controls(ControlsConfig(h.shape[1], tuple(names))).eval()
    limits = readings.double().quantile(torch.tensor([0.005, 0.995], dtype=torch.double), 0)
    seen = reads @ along
    doubt = (readings.double().var(0) - seen.diagonal()).clamp(LEAST_DOUBT * spread.double() ** 2)
    learned = {
        "seen": seen, "doubt": doubt,
        "h_mean": h.double().mean(0), "reads": reads, "moves": moves, "spread": spread,
        "center": readings.double().mean(0), "lowest": limits[0], "highest": limits[1],
    }  # fmt: skip
    for name, value in learned.items():
        getattr(controls, name).copy_(value)
    return controls


@torch.no_grad()
def measure_response(
    controls: Controls, own: Float[Tensor, "n bottleneck"], draw: Draw, reader: Reader
) -> Float[Tensor, "factors factors"]:
    """How far pictures' factors move when sliders move by one spread, in spreads.

    Row: the slider; column: the factor. The identity matrix is perfect control; what stands
    beside the diagonal is cross-talk.

    Args:
        own: Motions of some people, from which the sliders are moved both ways.
        draw: Shows these very people with other motions.
        reader: Best one that had no part in the learning.
    """
    rows = []
    for move, spread in zip(controls.moves.T, controls.spread, strict=True):
        up, down = (reader(draw(own + 0.5 * sign * spread * move)) for sign in (1, -1))
        rows.append((up - down).mean(0) / controls.spread)
    return torch.stack(rows)


def calibrate(controls: Controls, response: Float[Tensor, "factors factors"]) -> Controls:
    """Controls whose sliders move pictures as they say, from a measured response.

    Factors that hardly answer, because the generator cannot show them, are left alone.
    """
    answering = response.diagonal() > LEAST_ANSWER
    block = torch.eye(len(response), dtype=torch.double)
    both = answering[:, None] & answering[None, :]
    block[both] = response.double()[both]
    scale = controls.spread.double()
    block = block * scale[None, :] / scale[:, None]
    better = Controls(controls.config).eval()
    better.load_state_dict(controls.state_dict())
    better.moves.copy_(controls.moves.double() @ torch.linalg.inv(block).T)
    better.reads.copy_(block.T @ controls.reads.double())
    # What reading leaves in doubt is a matter of the factors, which keep their units.
    better.seen.copy_(block.T @ controls.seen.double() @ block)
    return better
