"""What each style of a latent does to the picture: one is taken from somebody else."""

from collections.abc import Sequence

import pandas as pd
import torch

from xfer.axes import Image, WPlus
from xfer.encoders import DrawsLatents
from xfer.errors import expect
from xfer.evaluate.judges import Judge, readings
from xfer.metrics.intervals import slope_interval

BATCH = 64


@torch.no_grad()
def draw(generator: DrawsLatents, latents: WPlus) -> Image:
    """Pictures of many latents, in parts, as they are shown."""
    parts = [generator.synthesis(part).cpu().clamp(-1, 1) for part in latents.split(BATCH)]
    return torch.cat(parts)


def swap_table(
    generator: DrawsLatents,
    first: WPlus,
    second: WPlus,
    judge: Judge,
    factors: Sequence[str],
    seed: int = 0,
) -> pd.DataFrame:
    """What part of the way from `first` to `second` pictures go when one style is swapped.

    Columns: style (its number, or "all"), what (a factor or "identity"), value, low, high. 0: the
    picture stays as it is; 1: the style carries all. For factors the slope of the change over the
    whole difference, as the judge reads both; for identity the gain in the judge's cosine with
    the second person over the whole gain.
    """
    expect(
        first.shape == second.shape,
        f"as many latents on either side; got {tuple(first.shape)} and {tuple(second.shape)}",
    )
    before, after = (readings(judge, draw(generator, x)) for x in (first, second))
    columns = {name: judge.names.index(name) for name in factors}
    alike = lambda found: (found.embeddings * after.embeddings).sum(1)
    rows = []
    for style in [*range(first.shape[1]), "all"]:
        swapped = first.clone()
        swapped[:, slice(None) if style == "all" else style] = (
            second if style == "all" else second[:, style]
        )
        found = readings(judge, draw(generator, swapped))
        for name, column in columns.items():
            whole = after.factors[:, column] - before.factors[:, column]
            change = found.factors[:, column] - before.factors[:, column]
            rows.append((str(style), name, *slope_interval(whole, change, seed=seed)))
        whole, change = 1 - alike(before), alike(found) - alike(before)
        rows.append((str(style), "identity", *slope_interval(whole, change, seed=seed)))
    return pd.DataFrame(rows, columns=["style", "what", "value", "low", "high"])
