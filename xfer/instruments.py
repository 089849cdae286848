"""Measuring networks, trained apart from anything that they judge."""

import functools
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.axes import Image
from xfer.backbones import Backbone, BackboneConfig, fit, sizes, translate
from xfer.errors import BadFile, expect
from xfer.files import (
    Network,
    Storable,
    load_network,
    read_checkpoint,
    stored_config,
    write_checkpoint,
)
from xfer.mirror import mirrored_factors, mirrored_points

Embedding = Float[Tensor, "batch embedding"]


@dataclass(frozen=True)
class FaceRecogniserConfig(BackboneConfig):
    """Sizes of a face recogniser. The defaults are those of the public ArcFace IR-SE50."""

    resolution: int = 112
    embedding: int = 512
    dropout: float = 0.5
    """Share of features left out in training."""

    def __post_init__(self):
        super().__post_init__()
        expect(self.embedding >= 1, f"embedding is at least 1; got {self.embedding}")


ARCFACE_NAMES = {r"^output_layer\.": "head."}
"""Tensor names of the public ArcFace file, beside those of the body, and ours."""


class FaceRecogniser(Storable, nn.Module):
    """Pictures to unit vectors whose dot product says how alike two people are (ArcFace)."""

    role = "face_recogniser"

    def __init__(self, config: FaceRecogniserConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        width = config.channels[-1]
        self.head = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(config.dropout),
            nn.Flatten(),
            nn.Linear(width * config.features**2, config.embedding),
            nn.BatchNorm1d(config.embedding),
        )

    @classmethod
    def unpack(cls, network: Network) -> tuple[FaceRecogniserConfig, Mapping[str, Tensor]]:
        if network.layout == "xfer":
            return stored_config(FaceRecogniserConfig, network), network.tensors
        state = translate(network.tensors, ARCFACE_NAMES)
        known = sizes(state)
        embedding, inputs = state["head.3.weight"].shape
        edge = math.isqrt(inputs // known["channels"][-1])
        known["resolution"] = edge << len(known["channels"])
        return FaceRecogniserConfig(**known, embedding=embedding), state

    def forward(self, image: Image) -> Embedding:
        """Args: `image` shows the aligned face; it is brought to the recogniser's size."""
        return F.normalize(self.head(self.backbone(fit(image, self.config.resolution))), dim=1)

    def layers(self, image: Image) -> list[Tensor]:
        """Features of every stage, of a picture of any size."""
        return self.backbone.stages(fit(image, self.config.resolution))


@torch.no_grad()
def set_features(
    layers: Callable[[Image], list[Tensor]], images: Image, batch: int = 64
) -> Float[np.ndarray, "batch features"]:
    """Channel means of the last of a judge's layers, in which sets of pictures are compared."""
    return torch.cat([layers(part)[-1].mean((2, 3)) for part in images.split(batch)]).numpy()


SHOWN_SIZE = 256
SHOWN_ROWS, SHOWN_COLUMNS = (35, 223), (32, 220)
"""What public code (pSp, ReStyle) cuts out of aligned pictures of that size for ArcFace."""


class ArcFace(FaceRecogniser):
    """The public recogniser, shown aligned pictures as the public code shows them to it.

    Its weights know tight crops of faces, and an aligned picture has hair and background around.
    """

    def forward(self, image: Image) -> Embedding:
        """Args: `image` is an aligned picture of any size, of which the face is cut out."""
        (top, bottom), (left, right) = SHOWN_ROWS, SHOWN_COLUMNS
        return super().forward(fit(image, SHOWN_SIZE)[:, :, top:bottom, left:right])


MOTION_FACTORS = (
    "yaw_deg", "pitch_deg", "jaw", "smile", "pucker", "brow", "brow_tilt", "frown",
    "blink_left", "blink_right", "gaze_x", "gaze_y",
)  # fmt: skip
"""What a factor reader reads of the face world, in this order."""


@dataclass(frozen=True)
class FactorReaderConfig(BackboneConfig):
    """Sizes of a factor reader."""

    resolution: int = 64
    channels: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    reduction: int = 8
    factors: tuple[str, ...] = MOTION_FACTORS
    hidden: int = 256
    """Width of the layer before the outputs."""
    mirrored: bool = False
    """Read pictures and their mirror images and take the mean, as the judges do: twice the work,
    and an eighth less error in yaw."""


class FactorReader(Storable, nn.Module):
    """Pose, expression and 68 landmarks from an aligned picture.

    Outputs are learned as standard deviations from the mean of the training frames, whose `mean`
    and `scale` are part of the network.
    """

    role = "factor_reader"

    def __init__(self, config: FactorReaderConfig):
        super().__init__()
        self.config = config
        outputs = len(config.factors) + 136
        self.backbone = Backbone(config)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(config.channels[-1] * config.features**2, config.hidden),
            nn.PReLU(config.hidden),
            nn.Linear(config.hidden, outputs),
        )
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))

    @classmethod
    def unpack(cls, network: Network) -> tuple[FactorReaderConfig, Mapping[str, Tensor]]:
        if network.layout != "xfer":
            raise BadFile("factor readers are stored in our own layout only")
        return stored_config(FactorReaderConfig, network), network.tensors

    def fit_scales(
        self, factors: Float[Tensor, "n factors"], landmarks: Float[Tensor, "n 136"]
    ) -> None:
        """Take mean and standard deviation from what the network is to read."""
        wanted = torch.cat([factors, landmarks], dim=1)
        self.mean.copy_(wanted.mean(0))
        self.scale.copy_(wanted.std(0).clamp(min=1e-3))

    def standardise(self, values: Float[Tensor, "batch outputs"]) -> Float[Tensor, "batch outputs"]:
        """Factors and flattened landmarks in standard deviations from the mean."""
        return (values - self.mean) / self.scale

    def standardised(self, image: Image) -> Float[Tensor, "batch outputs"]:
        """What the network reads, in standard deviations."""
        return self.head(self.backbone(fit(image, self.config.resolution)))

    def forward(
        self, image: Image
    ) -> tuple[Float[Tensor, "batch factors"], Float[Tensor, "batch 68 2"]]:
        """Factors in their units (degrees, fractions) and landmarks in the crop, in [-1, 1]."""
        factors, landmarks = self._read(image)
        if self.config.mirrored:
            others, points = self._read(image.flip(3))
            factors = (factors + mirrored_factors(others, self.config.factors)) / 2
            landmarks = (landmarks + mirrored_points(points)) / 2
        return factors, landmarks

    def _read(
        self, image: Image
    ) -> tuple[Float[Tensor, "batch factors"], Float[Tensor, "batch 68 2"]]:
        values = self.standardised(image) * self.scale + self.mean
        factors, landmarks = values.split([len(self.config.factors), 136], dim=1)
        return factors, landmarks.unflatten(1, (68, 2))


class Look(nn.Module):
    """What losses compare pictures by: features of the bodies of some instruments.

    A recogniser is taught to overlook expressions and a reader sees little else, so that either
    alone lets go of what the other keeps. The bodies are copies for inference.

    Args:
        resolution: What pictures and crops are brought to; their own size by default.
    """

    def __init__(self, *instruments: FaceRecogniser | FactorReader, resolution: int | None = None):
        super().__init__()
        self.bodies = nn.ModuleList(part.backbone.folded() for part in instruments)
        self.resolution = resolution

    def forward(self, image: Image) -> list[Tensor]:
        """Features layer by layer, of one instrument after the other."""
        shown = image if self.resolution is None else fit(image, self.resolution)
        return [x for body in self.bodies for x in body.stages(shown)]


Copy = Literal["loss", "judge"]
"""Which of the twins: one serves in losses, the other, which saw other people, only ever judges."""


NO_READER = "ArcFace recognises people and reads neither pose nor expression"


class Instruments(NamedTuple):
    """The two measuring networks of one copy, or ArcFace alone."""

    reader: FactorReader | None
    """None beside ArcFace, which knows people and reads neither pose nor expression."""
    recogniser: FaceRecogniser
    copy: Copy
    errors: dict[str, float]
    """Their own errors on frames of unseen people, as measured when they were written."""

    @property
    def networks(self) -> tuple[FactorReader | FaceRecogniser, ...]:
        """Those that are there."""
        return tuple(part for part in (self.reader, self.recogniser) if part is not None)

    def look(self, through: str = "both") -> Look:
        """Features for losses, through `both` networks, the `reader` or the `recogniser`.

        Without a reader `both` is the recogniser, at the size that its weights know.
        """
        choices = {
            "both": self.networks,
            "reader": (self.reader,),
            "recogniser": (self.recogniser,),
        }
        expect(through in choices, f"look is {', '.join(choices)}; got {through!r}")
        if self.reader is not None:
            return Look(*choices[through])
        expect(through != "reader", f"look=reader: {NO_READER}; look=recogniser is what it can do")
        if through == "both":
            _tell_who_looks()
        return Look(self.recogniser, resolution=self.recogniser.config.resolution)

    def save(self, path: str | Path, facts: Mapping[str, Any] | None = None) -> Path:
        """Write the networks, which copy they are, and their errors."""
        packed = {part.role: part.pack() for part in self.networks}
        told = {"copy": self.copy, "errors": self.errors}
        return write_checkpoint(path, packed, told | dict(facts or {}))


@functools.cache
def _tell_who_looks() -> None:
    """Said once in a process."""
    print(f"look=both is the recogniser alone: {NO_READER}", file=sys.stderr, flush=True)


def load_instruments(path: str | Path, copy: Copy, reader: bool = True) -> Instruments:
    """Open the instruments of a file, if they are of the copy that the task may use.

    Args:
        path: A file, or the name of a shipped one.
        copy: "loss" for training, "judge" for measuring.
        reader: Does the task need one? Without, the public ArcFace file serves either copy.

    Raises:
        BadFile: The file holds the other copy, which would judge what it has trained, or none.
    """
    checkpoint = read_checkpoint(path)
    found = checkpoint.facts.get("copy")
    if checkpoint.layout == "arcface":
        if reader:
            raise BadFile(
                f"{checkpoint.path}: {NO_READER}; instruments with a reader are needed here"
            )
        recogniser = load_network(checkpoint, ArcFace.role, ArcFace.from_network)
        return Instruments(None, recogniser, copy, {})
    if found != copy:
        raise BadFile(
            f"{checkpoint.path} holds {f'the {found} copy of the' if found else 'no'} instruments; "
            f"the {copy} copy is needed here, so that no network judges what it has trained"
        )
    parts = [
        load_network(checkpoint, kind.role, kind.from_network)
        for kind in (FactorReader, FaceRecogniser)
    ]
    return Instruments(*parts, copy, checkpoint.facts.get("errors", {}))
