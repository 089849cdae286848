"""Methods of transfer to compare: ours, and rivals on the same generator."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from xfer.baselines import (
    Copy,
    DriverMotion,
    FactorMoves,
    LatentDifference,
    LatentMask,
    ganspace_directions,
    linear_directions,
)
from xfer.control import Factors
from xfer.data.synthesize import SynthesizeConfig, psi_of
from xfer.errors import BadValue
from xfer.evaluation.trials import DriverVideo, Subject, read_aligned
from xfer.inversion import resized
from xfer.media.images import to_array, to_tensor
from xfer.pipeline import TransferPipeline
from xfer.shapes import Image, W, WPlus
from xfer.stylegan2.generator import z_from_seeds

Method = Callable[[DriverVideo, Subject, float], WPlus]
"""A driver, an identity and the strength of the motion to one code a frame."""


def open_methods(
    pipeline: TransferPipeline,
    drivers: Sequence[DriverVideo],
    names: Sequence[str] = (),
    people: int = 1500,
    mask: str | None = None,
) -> dict[str, Method]:
    """Methods by name: ours, copy, linear, ganspace, and more where weights and drivers allow.

    Args:
        names: By default all.
        people: Generated people whom linear and ganspace are fitted to.
        mask: File of a `LatentMask`.
    """
    model, n_styles = pipeline.model, pipeline.model.generator.n_styles
    fit = lambda find: FactorMoves(find(*sample_people(pipeline, people), n_styles)).latents
    makers: dict[str, Callable[[], Method]] = {
        "ours": lambda: _own(pipeline),
        "copy": lambda: _rival(Copy().latents),
        "linear": lambda: _rival(fit(linear_directions)),
        "ganspace": lambda: _rival(fit(ganspace_directions)),
    }
    if pipeline.explicit and model.mapper is not None:
        learned = replace(pipeline.options, motion="learned")
        makers["ours_learned"] = lambda: _own(
            TransferPipeline(model, learned, reader=pipeline.reader)
        )
    if model.identity_encoder is not None or all(d.w_plus is not None for d in drivers):
        makers["latent_difference"] = lambda: _rival(LatentDifference().latents, pipeline)
        if mask:
            makers["mask"] = lambda: _rival(LatentMask.load(mask).latents, pipeline)
    if unknown := set(names) - makers.keys():
        raise BadValue(
            f"with these weights and drivers methods are {', '.join(makers)}; "
            f"got {', '.join(sorted(unknown))}"
        )
    return {name: makers[name]() for name in names or makers}


def _own(pipeline: TransferPipeline) -> Method:
    """What the pipeline itself does, frame by frame."""

    @torch.no_grad()
    def move(driver: DriverVideo, subject: Subject, strength: float) -> WPlus:
        identity, before = subject.identity, pipeline.options
        if pipeline.explicit:
            motions = torch.from_numpy(driver.seen.factors).to(identity.w_plus)
        else:
            motions = pipeline.model.motion_encoder.bottleneck(_for_encoders(driver, pipeline))
            identity = pipeline.from_w_plus(identity.w_plus, generator=identity.generator)
        neutral = motions.median(0, keepdim=True).values
        pipeline.options = replace(before, strength=strength)
        try:
            return torch.cat([pipeline.move(identity, row[None], neutral) for row in motions])
        finally:
            pipeline.options = before

    return move


def _rival(latents: Callable[..., WPlus], encoder: TransferPipeline | None = None) -> Method:
    """A baseline on what the reader sees and, with an encoder, on the driver's codes."""
    known: dict[str, WPlus] = {}

    @torch.no_grad()
    def move(driver: DriverVideo, subject: Subject, strength: float) -> WPlus:
        w_plus = subject.identity.w_plus
        factors = torch.from_numpy(driver.seen.factors).to(w_plus)
        own = torch.from_numpy(subject.still.factors).to(w_plus)
        motion = DriverMotion(factors, factors.median(0, keepdim=True).values, own)
        if encoder is not None:
            if driver.w_plus is not None:
                known[driver.name] = driver.w_plus
            elif driver.name not in known:
                images = _for_encoders(driver, encoder)
                known[driver.name] = encoder.model.identify(images)
            codes = known[driver.name]
            resting = codes.median(0, keepdim=True).values
            motion = replace(motion, w_plus=codes, neutral_w_plus=resting)
        return latents(motion, w_plus, strength)

    return move


def _for_encoders(driver: DriverVideo, pipeline: TransferPipeline) -> Image:
    device = pipeline.model.generator.w_mean.device
    return resized(to_tensor(driver.frames).to(device), pipeline.edge)


@lru_cache(maxsize=2)
@torch.no_grad()
def sample_people(pipeline: TransferPipeline, n: int) -> tuple[W, Factors]:
    """The first people of `xfer synthesize`: codes, and factors read from their previews."""
    generator, config = pipeline.generator, SynthesizeConfig()
    seeds = range(config.first_seed, config.first_seed + n)
    w = generator.mapping(z_from_seeds(seeds, generator.z_dim).to(generator.w_mean))
    psi = torch.tensor([[psi_of(seed, config)] for seed in seeds]).to(w)
    w = generator.w_mean + psi * (w - generator.w_mean)
    small = getattr(generator, "preview", generator.synthesis)
    images = (to_array(resized(small(row), 256))[0] for row in generator.to_w_plus(w).split(1))
    factors = [read_aligned(pipeline.reader.landmarker, image)[1] for image in images]
    found = [i for i, row in enumerate(factors) if row is not None]
    return w[found].cpu(), torch.from_numpy(np.stack([factors[i] for i in found]))
