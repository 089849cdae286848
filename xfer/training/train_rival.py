"""Training of the learned rival on the same clips, latents, losses and steps as a transfer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xfer.axes import Image, WPlus
from xfer.encoders import IdentityEncoder
from xfer.errors import expect
from xfer.instruments import load_instruments
from xfer.rival import StyleMask, StyleMaskConfig, StyleSwap, style_channels, swapped_pictures
from xfer.stylegan2.generator import Generator
from xfer.training import config
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.following import finish, follow
from xfer.training.origins import facts_of, frames_origin, inputs
from xfer.training.train_transfer import (
    TRANSFER_PRESETS,
    TransferTrainer,
    TransferTraining,
    train_transfer,
)
from xfer.training.transfer_clips import Drawn
from xfer.training.transfer_recipes import open_clips


class RivalTrainer(TransferTrainer):
    """A mask of style space in the place of motion encoder and mapper."""

    def build(self, config: TransferTraining, generator: Generator) -> dict[str, nn.Module]:
        expect(not config.contrastive, "the rival has no motion codes to contrast; contrastive=0")
        return {"style_mask": StyleMask(StyleMaskConfig(style_channels(generator)))}

    def outputs(
        self, step: int, drawn: Drawn, people: Sequence[WPlus]
    ) -> tuple[Sequence[Image], WPlus | None]:
        mask, drivers = self.networks["style_mask"], drawn.driver_code.repeat(len(people), 1, 1)
        shown = swapped_pictures(mask, self.generator, torch.cat(list(people)), drivers)
        return shown.chunk(len(people)), None


def train_rival(
    out: str | Path,
    clips: str | Path,
    generator: str | Path,
    inverter: str | Path,
    instruments: str | Path,
    preset: str = "small",
    settings: Sequence[str] = (),
    device: str = "auto",
    hours: float | None = None,
) -> Path:
    """Train the mask and write `rival.safetensors`; arguments as of a transfer's training."""
    chosen = config.preset(TRANSFER_PRESETS, preset, **config.parse_settings(list(settings)))
    measure = load_instruments(instruments, "loss", reader=False)
    world = World.join(device)
    drawer, encoder = Generator.load(generator), IdentityEncoder.load(inverter)
    pictures = open_clips(clips, generator, inverter, drawer.resolution, chosen.seed, device, world)
    parts = {"generator": generator, "inverter": inverter}
    made = inputs(clips=clips, instruments=instruments, **parts)
    records = train_transfer(chosen, pictures, drawer, measure, out, world, RivalTrainer)
    facts = facts_of(frames_origin(clips), instruments=instruments, **parts)
    follow(records, world, hours, inputs=made)
    path = Path(out) / "rival.safetensors"
    return finish(world, path, lambda: export_rival(path, chosen, drawer, encoder, facts))


def export_rival(
    path: Path,
    chosen: TransferTraining,
    drawer: Generator,
    encoder: IdentityEncoder,
    facts: Mapping[str, Any],
) -> Path:
    """Write the newest mask with the networks it needs.

    Args:
        facts: Where it comes from.
    """
    step, state = Checkpoints(path.parent).load_latest()
    mask = StyleMask(StyleMaskConfig(style_channels(drawer)))
    mask.load_state_dict(
        {name.removeprefix("style_mask."): value for name, value in state["networks"].items()}
    )
    kimg = step * chosen.batch / 1000
    facts = {"kimg": kimg, "seed": chosen.seed} | dict(facts)
    swap = StyleSwap(mask.eval(), drawer.cpu(), encoder.cpu())
    return swap.save(path, facts)
