"""A model opened for use: prepared, on its device, with the controls that travel in its file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xfer.controls import Controls, LandmarkReader
from xfer.devices import best_device
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig, MotionEncoder, MotionEncoderConfig
from xfer.errors import MissingFile, expect
from xfer.files import load_network, read_checkpoint, registry
from xfer.files.records import recorded
from xfer.mapper import MapperConfig, build_mapper
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator, GeneratorConfig

PRESETS = {
    "nano": None,
    "small": ("small", None),
    "medium": ("medium", None),
    "paper": ("pose-transfer-paper", "restyle-psp-ffhq"),
}
"""Weights and inverter by preset: shipped or fetched names; nano is untrained."""
FACE_WORLD = "face world"
"""What some files say that they were trained on."""
UNTRAINED_MOTION = 25.0
"""How much an untrained mapper makes of motion, so that it can be seen: what an untrained motion
encoder writes hardly changes from picture to picture."""


def say(text: str) -> None:
    """A word to the user, beside whatever the output is."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Studio:
    """All that frames pass through."""

    model: Transfer
    controls: Controls | None = None
    landmark_reader: LandmarkReader | None = None
    """Only weights of the face world carry one."""
    taught_by_renderer: bool = False
    """Whether the file says that it learned from rendered people."""
    key: str = ""
    """Tells weights apart in caches; empty for weights without a file."""
    note: str = ""
    """What every output says beside that it is synthetic."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.generator.w_mean.device

    @property
    def size(self) -> int:
        """Edge of the aligned pictures that both encoders are content with."""
        encoders = (self.model.motion_encoder, self.model.identity_encoder)
        return max(e.config.resolution for e in encoders if e is not None)

    @property
    def of_the_face_world(self) -> bool:
        """Whether these weights have seen rendered people only."""
        return self.taught_by_renderer or self.landmark_reader is not None

    @property
    def reads_landmarks(self) -> bool:
        """Whether a driver's landmarks can move the people of these weights."""
        return self.controls is not None and self.landmark_reader is not None

    def reads(self, read: str, rendered: bool) -> str:
        """What a driver's motion is read from: `read`, or what `auto` stands for.

        Args:
            rendered: Whether the driver is from the face world.
        """
        if read != "auto":
            return read
        foreign = self.of_the_face_world and not rendered
        return "landmarks" if foreign and self.reads_landmarks else "pictures"


def open_studio(
    weights: str | Path | None = None,
    inverter: str | Path | None = None,
    preset: str = "small",
    device: str = "auto",
    half: bool = False,
) -> Studio:
    """Open weights by path or name, or those of a preset.

    Args:
        inverter: A ReStyle file, for weights without an identity encoder (the paper's).
        half: Compute convolutions in half precision where the device can.

    Raises:
        MissingFile, BadFile: As `Transfer.load`.
    """
    expect(preset in PRESETS, f"presets are {', '.join(PRESETS)}; got '{preset}'")
    place = best_device(device)
    if weights is None and PRESETS[preset] is None:
        say("preset nano: an untrained model, whose pictures show no faces")
        model = untrained_model().to(place)
        return Studio(model.prepare(), note="Untrained weights.")
    if weights is None:
        weights, usual = _preset_weights(preset)
        inverter = inverter or usual
    checkpoint = read_checkpoint(weights)
    model = Transfer.load(checkpoint, inverter).to(place)
    extra = {
        kind.role: load_network(checkpoint, kind.role, kind.from_network).to(place)
        for kind in (Controls, LandmarkReader)
        if kind.role in checkpoint.networks
    }
    dtype = torch.float32 if not half else _half(place)
    return Studio(
        model.prepare(dtype),
        extra.get("controls"),
        extra.get("landmark_reader"),
        _taught_by_renderer(checkpoint.facts.get("trained_on")),
        _key(checkpoint.path, inverter),
    )


def _taught_by_renderer(trained_on: Any) -> bool:
    """Whether a file tells, beside its weights, of the face world's pictures and of no others.

    Trainings write their frames' scenes (`preset`) of the face world, and the folder of others.
    """
    return trained_on == FACE_WORLD or (isinstance(trained_on, dict) and "preset" in trained_on)


def _preset_weights(preset: str) -> tuple[str, str | None]:
    """Names of a preset's weights and inverter; refuses a preset that nobody trained for us."""
    weights, inverter = PRESETS[preset]
    known = (*registry.shipped(), *registry.PUBLIC)
    if weights not in known:
        others = [name for name, named in PRESETS.items() if not named or named[0] in known]
        raise MissingFile(
            f"no weights are shipped for preset {preset}; presets that can be opened are "
            f"{', '.join(others)}. `xfer train all --preset {preset} --out FOLDER` trains some; "
            "`--weights FOLDER/model.safetensors` opens them"
        )
    return weights, inverter


def _half(device: torch.device) -> torch.dtype:
    return torch.float16 if device.type == "cuda" else torch.bfloat16


def _key(path: Path, inverter: str | Path | None) -> str:
    """Tells apart the files of weights and inverter, whatever they are called."""
    return f"{_digest(path)} {_digest(registry.locate(inverter)) if inverter else ''}"


def _digest(path: Path) -> str:
    """The recorded sha256, or size and date where none is recorded."""
    facts = path.stat()
    return recorded(path) or f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"


def untrained_model(seed: int = 0) -> Transfer:
    """A tiny model that was never trained: every step works, nothing is recognisable.

    Its mapper answers to motion, so that something moves.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(GeneratorConfig(32, 64, 64, 2, channel_base=1024, channel_max=64))
        generator.w_mean.copy_(generator.estimate_w_mean()[0])
        slim = {"resolution": 32, "channels": (16, 24, 32), "blocks": (1, 1, 1), "reduction": 8}
        codes = {"n_styles": generator.n_styles, "w_dim": 64}
        mapper = build_mapper(MapperConfig(**codes))
        with torch.no_grad():
            size = mapper.config.size
            mapper.weight[:, size:] = UNTRAINED_MOTION * torch.randn(size, size) / size**0.5
        motion = MotionEncoder(MotionEncoderConfig(**slim, **codes, bottleneck=32, pool=2))
        identity = IdentityEncoder(IdentityEncoderConfig(**slim, **codes, rounds=2))
    return Transfer(generator, motion, mapper, identity).eval()
