"""How faithfully an encoder finds pictures again, in the eyes of the judges."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xfer import losses
from xfer.axes import Image
from xfer.encoders import IdentityEncoder
from xfer.instruments import Instruments, Look
from xfer.metrics.intervals import mean_interval, paired_difference
from xfer.metrics.recognition import accept_threshold, pair_scores
from xfer.metrics.transfer import psnr
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import z_from_seeds

BATCH = 32
LEFT_EYE, RIGHT_EYE = 36, 45


@torch.no_grad()
def inversions(
    images: Image,
    people: Int[np.ndarray, " batch"],
    encoder: IdentityEncoder,
    generator: Generator,
    judge: Instruments,
) -> pd.DataFrame:
    """One row a picture and round: round (from 1), person and every measure.

    l2 (mean square error of pictures as they are seen, in [-1, 1]) and psnr_db; perceptual: how
    different they look to both judging networks (`losses.feature_distance`); cosine and accepted
    (at 1% false accepts among these people) by the judging recogniser; yaw_deg_error and
    landmark_error (distances of the eyes' outer corners) by the judging reader, between picture
    and inversion; spread: mean square distance of styles from the first.

    Args:
        people: Who each picture shows; the accept threshold needs several.
    """
    rounds = [_round(*found) for found in _rounds(images, encoder, generator)]
    embedded = _embed(judge, images)
    threshold = accept_threshold(pair_scores(embedded.numpy(), people)[1])
    truth = _read(judge, images)
    eyes = (truth[1][:, RIGHT_EYE] - truth[1][:, LEFT_EYE]).norm(dim=1).mean()
    distances = _perceptual(judge.look(), [drawn for drawn, _ in rounds], images)
    tables = []
    for number, ((drawn, latents), distance) in enumerate(zip(rounds, distances, strict=True), 1):
        cosine = (_embed(judge, drawn) * embedded).sum(1)
        yaw, points = _read(judge, drawn)
        measured = {
            "l2": (drawn.clamp(-1, 1) - images).square().mean((1, 2, 3)),
            "perceptual": distance,
            "psnr_db": psnr(drawn.numpy(), images.numpy()),
            "cosine": cosine,
            "accepted": (cosine > threshold).float(),
            "yaw_deg_error": (yaw - truth[0]).abs(),
            "landmark_error": (points - truth[1]).norm(dim=2).mean(1) / eyes,
            "spread": [float(losses.style_spread(one[None])) for one in latents],
        }
        plain = {name: np.asarray(values, dtype=float) for name, values in measured.items()}
        tables.append(pd.DataFrame({"round": number, "person": people} | plain))
    return pd.concat(tables, ignore_index=True)


def inversion_table(found: pd.DataFrame) -> pd.DataFrame:
    """Means over all pictures, one row a round.

    Args:
        found: As of `inversions`.
    """
    return found.drop(columns="person").groupby("round").mean()


def round_intervals(found: pd.DataFrame) -> pd.DataFrame:
    """Means of every round with 95% bootstrap intervals over people: round, metric, value, low,
    high."""
    rows = [
        (number, name, *mean_interval(part[name].to_numpy(), part["person"].to_numpy()))
        for number, part in found.groupby("round")
        for name in found.columns.drop(["round", "person"])
    ]
    return pd.DataFrame(rows, columns=["round", "metric", "value", "low", "high"])


def round_changes(found: pd.DataFrame) -> pd.DataFrame:
    """What each round changes, on the same pictures: its measures less those of the round before.

    The first round has none before. Columns, intervals and arguments as in `round_intervals`.
    """
    parts = [part for _, part in found.groupby("round")]
    rows = []
    for before, after in pairwise(parts):
        number, people = after["round"].iloc[0], after["person"].to_numpy()
        for name in found.columns.drop(["round", "person"]):
            change = paired_difference(after[name].to_numpy(), before[name].to_numpy(), people)
            rows.append((number, name, *change[:3]))
    return pd.DataFrame(rows, columns=["round", "metric", "value", "low", "high"])


def tell_changes(changes: pd.DataFrame, metric: str) -> str:
    """In which rounds a measure falls or rises, and in which the interval of its change holds 0.

    Args:
        changes: As of `round_changes`.
    """
    part = changes[changes["metric"] == metric]
    falls, rises = part["high"] < 0, part["low"] > 0
    if falls.all():
        return "falls in every round after the first"
    ways = {"falls": falls, "rises": rises, "hardly changes": ~(falls | rises)}
    told = []
    for verb, which in ways.items():
        rounds = [str(number) for number in part["round"][which]]
        if rounds:
            told.append(f"{verb} in round{'s' if len(rounds) > 1 else ''} {', '.join(rounds)}")
    return "; ".join(told)


def _rounds(
    images: Image, encoder: IdentityEncoder, generator: Generator
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Latents and pictures of every round, in parts."""
    parts = [list(encoder.refine(part, generator)) for part in images.split(BATCH)]
    for found in zip(*parts, strict=True):
        yield [part.latent for part in found], [part.image for part in found]


def _round(latents: list[Tensor], drawn: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures and latents."""
    return torch.cat(drawn), torch.cat(latents)


def _embed(judge: Instruments, images: Image) -> Float[Tensor, "batch embedding"]:
    return torch.cat([judge.recogniser(part) for part in images.split(BATCH)])


def _read(
    judge: Instruments, images: Image
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 68 2"]]:
    """Yaw in degrees and landmarks."""
    column = judge.reader.config.factors.index("yaw_deg")
    parts = [judge.reader(part) for part in images.split(BATCH)]
    return torch.cat([p[0][:, column] for p in parts]), torch.cat([p[1] for p in parts])


def _perceptual(look: Look, rounds: Sequence[Image], truth: Image) -> list[list[float]]:
    """Feature distance of every picture in every round.

    In parts, because features are many times as large as pictures.
    """
    distances: list[list[float]] = [[] for _ in rounds]
    for start in range(0, len(truth), BATCH):
        part = slice(start, start + BATCH)
        wanted = look(truth[part])
        for own, drawn in zip(distances, rounds, strict=True):
            shown = look(drawn[part])
            for i in range(len(truth[part])):
                pair = ([layer[i : i + 1] for layer in layers] for layers in (shown, wanted))
                own.append(float(losses.feature_distance(*pair)))
    return distances


@torch.no_grad()
def sample_errors(
    encoder: IdentityEncoder, generator: Generator, count: int = 64, seed: int = 0
) -> dict[str, float]:
    """Error of the latents of the generator's own samples, whose truth is known.

    latent_error is the root mean square error as a part of the latents' own spread around the mean
    (1: no better than the mean face); spread as in `inversions`.
    """
    w = generator.mapping(z_from_seeds(range(seed, seed + count), generator.z_dim))
    truth = generator.to_w_plus(w)
    found = torch.cat(
        [encoder.invert(generator.synthesis(part), generator) for part in truth.split(BATCH)]
    )
    error = (found - truth).square().mean()
    own = (truth - generator.w_mean).square().mean()
    return {
        "latent_error": float((error / own).sqrt()),
        "spread": float(losses.style_spread(found)),
        "own_variance": float(own),
    }
