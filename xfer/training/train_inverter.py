"""Training of the identity encoder in closed form: what frozen networks see in a photo, to W+.

Generated people whose codes are known are rendered, degraded as photos are, and read by networks
that were trained on other things (`perceptual.FaceFeatures`). Ridge regression from there to codes
is one solution of linear equations, and it finds more of a code in minutes than a network that
starts from nothing finds in hours. Of its answers only the widest directions are stored.

Source: one step of supervised descent (Xiong and De la Torre, CVPR 2013), by reduced rank.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import BadValue
from xfer.inversion import cached_path
from xfer.media.images import to_array, to_tensor
from xfer.model import asset_hashes
from xfer.perceptual import FaceFeatures
from xfer.runs import atomic
from xfer.shapes import WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.training.augment import degrade

BLOCK = 250
"""People in a file of the cache; what a stopped run loses at most."""
FIRST_SEED = 3_000_000
"""Far from seeds that people type and from those of `xfer synthesize`."""
RIDGES = (0.2, 0.4, 0.8, 1.6)
"""Of which the one that is best on people left out is taken, over the mean squared feature."""
LEFT_OUT = 20
"""Of so many people one is left out."""

Rows = Float[Tensor, "people numbers"]


def train_inverter(
    out: str | Path = "inverter.safetensors",
    people: int = 6000,
    rank: int = 160,
    seed: int = 0,
    generator: str = "ffhq",
) -> Path:
    """Learn an identity encoder without labels; a quarter of an hour on two cores, resumable.

    Args:
        out: File to write.
        people: Generated people, at least 100; blocks of 250 are kept in the cache folder.
        rank: Directions of its answers that are stored.
        generator: "ffhq", or a generator's file.
    """
    if people < 100 or not 1 <= rank < people:
        raise BadValue(f"100 people or more, and more than the rank; got {people} and {rank}")
    made = Generator.load(generator).requires_grad_(False)
    known = sample_features(made, people, seed)
    encoder, facts = fit_encoder(*known, made.w_mean, rank)
    facts |= {"people": people, "seed": seed, "generator": asset_hashes(generator) or generator}
    return encoder.save(out, {"identity_encoder": facts}, torch.float16)


@torch.no_grad()
def sample_features(
    generator: Any, people: int, seed: int
) -> tuple[Rows, Float[Tensor, "people n_styles w_dim"]]:
    """Features of degraded images, and the codes behind them; blocks are kept in the cache."""
    features, fast = FaceFeatures(), generator.prepare(256)
    blocks = []
    for start in tqdm(range(0, people, BLOCK), "people", unit="block"):
        path = cached_path([], generator, features=seed, start=start, people=BLOCK)
        if not path.exists():
            codes = torch.cat([sample_code(generator, seed, start + i) for i in range(BLOCK)])
            rows = []
            for i, code in enumerate(codes.split(1)):
                rng = np.random.default_rng([seed, start + i])
                photo = degrade(to_array(fast.preview(code, 256))[0], rng)
                rows.append(features(to_tensor(photo[None])))
            with atomic(path) as part:
                save_file({"features": torch.cat(rows), "w_plus": codes}, part)
        blocks.append(load_file(path))
    return tuple(torch.cat([b[name] for b in blocks])[:people] for name in ("features", "w_plus"))


def sample_code(generator: Any, seed: int, number: int) -> WPlus:
    """A code as inversions of photos are: one w, which coarse, middle and fine styles leave a bit
    together and each a bit alone."""
    n, rng = generator.n_styles, np.random.default_rng([seed, number, 1])
    seeds = range(first := FIRST_SEED + (seed << 24) + number * (n + 4), first + n + 4)
    w = generator.mapping(z_from_seeds(seeds, generator.z_dim)) - generator.w_mean
    group = torch.arange(n) * 16 // n
    group = 1 + (group > 3).long() + (group > 10).long()
    together, alone, psi = rng.uniform(0, 0.4), rng.uniform(0, 0.3), rng.uniform(0.6, 1.0)
    offsets = together * w[group] + alone * w[4:] * (group < 3)[:, None]
    return (generator.w_mean + psi * (w[:1] + offsets))[None]


def fit_encoder(
    features: Rows, w_plus: WPlus, w_mean: Float[Tensor, " w_dim"], rank: int
) -> tuple[IdentityEncoder, dict[str, Any]]:
    """Ridge regression of reduced rank, and how much of the codes it leaves unexplained."""
    n, n_styles, w_dim = w_plus.shape
    mean, offsets = features.mean(0), (w_plus - w_mean).flatten(1)
    scale = features.std(0)
    scale += 0.05 * scale.mean()
    x = (features - mean) / scale
    gram = (x @ x.T / x.shape[1]).double()
    ridge, identity = gram.diagonal().mean(), torch.eye(n, dtype=gram.dtype)
    unseen = torch.arange(n) % LEFT_OUT == 0
    seen, left = ~unseen, {}
    for share in RIDGES:
        weights = gram[seen][:, seen] + share * ridge * identity[seen][:, seen]
        answer = gram[unseen][:, seen] @ torch.linalg.solve(weights, offsets[seen].double())
        left[share] = float(
            (answer - offsets[unseen]).square().sum() / offsets[unseen].square().sum()
        )
    best = min(left, key=left.get)
    dual = torch.linalg.solve(gram + best * ridge * identity, offsets.double())
    _, _, axes = torch.svd_lowrank((gram @ dual).float(), q=rank + 16, niter=4)
    axes = axes[:, :rank]
    read = x.T @ (dual.float() @ axes) / x.shape[1] / scale[:, None]
    balance = (axes.square().mean() / read.square().mean()) ** 0.25  # float16 is for numbers near 1
    encoder = IdentityEncoder(
        IdentityEncoderConfig(n_styles=n_styles, w_dim=w_dim, rounds=1, head="features",
                              bottleneck=rank)
    )  # fmt: skip
    encoder.feature_mean.copy_(mean)
    encoder.read.weight.data = (balance * read).T.contiguous()
    encoder.write.weight.data = (axes / balance).contiguous()
    return encoder.eval(), {"ridge": best, "left_unexplained": round(left[best], 4)}
