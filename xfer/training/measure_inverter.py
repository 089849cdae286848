"""How faithfully an encoder finds pictures again, in the eyes of the judges."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xfer import losses
from xfer.axes import Image
from xfer.encoders import IdentityEncoder
from xfer.instruments import Instruments, Look
from xfer.metrics.recognition import accept_threshold, pair_scores
from xfer.metrics.transfer import psnr
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import z_from_seeds

BATCH = 32
LEFT_EYE, RIGHT_EYE = 36, 45


@torch.no_grad()
def inversion_table(
    images: Image,
    people: Int[np.ndarray, " batch"],
    encoder: IdentityEncoder,
    generator: Generator,
    judge: Instruments,
) -> pd.DataFrame:
    """One row a round, means over all pictures.

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
    distances = _perceptual(judge.look(), [drawn for drawn, _ in rounds], images)
    rows = []
    for (drawn, spread), distance in zip(rounds, distances, strict=True):
        cosine = (_embed(judge, drawn) * embedded).sum(1)
        yaw, points = _read(judge, drawn)
        eyes = (truth[1][:, RIGHT_EYE] - truth[1][:, LEFT_EYE]).norm(dim=1).mean()
        rows.append(
            {
                "l2": float((drawn.clamp(-1, 1) - images).square().mean()),
                "perceptual": distance,
                "psnr_db": float(psnr(drawn.numpy(), images.numpy()).mean()),
                "cosine": float(cosine.mean()),
                "accepted": float((cosine > threshold).float().mean()),
                "yaw_deg_error": float((yaw - truth[0]).abs().mean()),
                "landmark_error": float((points - truth[1]).norm(dim=2).mean() / eyes),
                "spread": spread,
            }
        )
    table = pd.DataFrame(rows)
    table.index = pd.RangeIndex(1, len(rows) + 1, name="round")
    return table


def _rounds(
    images: Image, encoder: IdentityEncoder, generator: Generator
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Latents and pictures of every round, in parts."""
    parts = [list(encoder.refine(part, generator)) for part in images.split(BATCH)]
    for found in zip(*parts, strict=True):
        yield [part.latent for part in found], [part.image for part in found]


def _round(latents: list[Tensor], drawn: list[Tensor]) -> tuple[Tensor, float]:
    return torch.cat(drawn), float(losses.style_spread(torch.cat(latents)))


def _embed(judge: Instruments, images: Image) -> Float[Tensor, "batch embedding"]:
    return torch.cat([judge.recogniser(part) for part in images.split(BATCH)])


def _read(
    judge: Instruments, images: Image
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 68 2"]]:
    """Yaw in degrees and landmarks."""
    column = judge.reader.config.factors.index("yaw_deg")
    parts = [judge.reader(part) for part in images.split(BATCH)]
    return torch.cat([p[0][:, column] for p in parts]), torch.cat([p[1] for p in parts])


def _perceptual(look: Look, rounds: Sequence[Image], truth: Image) -> list[float]:
    """Feature distance of every round, mean over all pictures.

    In parts, because features are many times as large as pictures.
    """
    sums = [0.0] * len(rounds)
    for start in range(0, len(truth), BATCH):
        part = slice(start, start + BATCH)
        wanted = look(truth[part])
        for i, drawn in enumerate(rounds):
            distance = losses.feature_distance(look(drawn[part]), wanted)
            sums[i] += float(distance) * len(truth[part])
    return [total / len(truth) for total in sums]


@torch.no_grad()
def sample_errors(
    encoder: IdentityEncoder, generator: Generator, count: int = 64, seed: int = 0
) -> dict[str, float]:
    """Error of the latents of the generator's own samples, whose truth is known.

    latent_error is the root mean square error as a part of the latents' own spread around the mean
    (1: no better than the mean face); spread as in `inversion_table`.
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
