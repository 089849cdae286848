"""What users ask of a pipeline: options, and what texts name: drivers, identities, outputs."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from xfer.control import parse_factors
from xfer.detectors import Detector
from xfer.errors import BadFile, BadValue, MissingFile, UnwritableFile
from xfer.media.images import exists, kind_of, list_media
from xfer.shapes import WPlus

CAMERA = "live:"
"""Before the name of a camera, as in live:/dev/video0."""
LATENTS = (".npy", ".safetensors")
IMAGES, VIDEOS = (".png", ".jpg", ".jpeg", ".webp"), (".mp4",)
"""What outputs are written as."""


Part = Literal["pose", "expression", "mouth", "eyes", "brows"]


@dataclass(frozen=True)
class TransferOptions:
    """How motion is applied and shown."""

    size: Literal[256, 512, 1024] | None = None
    """Edge of the generated square in pixels, the generator's own by default; 256 is fast."""
    calibrate: bool = True
    """Measure how far each factor of the identity really goes, and move it as far as requested."""
    strength: float = 1.0
    """Of the motion: 0 is the identity's own, 1 the driver's."""
    only: tuple[Part, ...] = ()
    """Parts to transfer; all by default."""
    relative: bool = False
    """All motion is a change from the driver's own neutral, pose, smile and lips as well."""
    paste: Literal["none", "photo", "driver"] = "none"
    """Put the face back into the identity's photo, or into the driver's image or video."""
    roll: bool = False
    """Tilt the result as the driver's head is tilted; alignment takes the tilt away."""
    compare: bool = False
    """Put driver and identity beside the result."""
    face: int | None = None
    """Which face of the driver, 1 for the leftmost; by default the main one, the largest and most
    central, and in videos the one that moves."""
    detector: Detector = "landmarker"
    """What finds faces in drivers and photos."""
    motion: Literal["auto", "explicit", "learned"] = "auto"
    """Named factors through the control, or what motion encoder and mapper have learned; auto is
    explicit where the weights have a control."""
    steps: int = 100
    """Of the inversion of photos; 0 takes what the identity encoder finds at once."""
    refine: int = 0
    """Steps of tuning the generator itself to the photo."""
    psi: float = 0.7
    """Truncation of random identities, 0 (the mean face) to 1."""
    smoothing_s: float = 0.12
    """Smoothing of a video's crops over time, in seconds."""

    def __post_init__(self):
        bounds = {"strength": (0, 2), "psi": (0, 1), "smoothing_s": (0, 2)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise BadValue(f"{name} lies in {low} to {high}; got {getattr(self, name):g}")
        if min(self.refine, self.steps) < 0:
            raise BadValue(f"steps and refine are 0 or more; got {self.steps}, {self.refine}")


class Driver(NamedTuple):
    """Where pose and expression come from."""

    text: str
    kind: Literal["image", "video", "camera", "factors"]
    factors: dict[str, float] | None = None
    """Explicit factors by name; the others stay the identity's own."""

    @property
    def moves(self) -> bool:
        return self.kind in ("video", "camera")

    @property
    def path(self) -> str:
        return self.text.removeprefix(CAMERA)


def parse_drivers(texts: Sequence[str]) -> list[Driver]:
    """Drivers that texts name, folders taken apart; names of files come before factors."""
    if not texts or not all(text.strip() for text in texts):
        kinds = "an image, a video, a folder, live:CAMERA, or factors such as yaw=20,smile=.5"
        raise BadValue(f"a driver is required: {kinds}")
    drivers = []
    for text in texts:
        if text.startswith(CAMERA):
            drivers.append(Driver(text, "camera"))
        elif exists(text):
            paths = list_media(text) if Path(text).is_dir() else [text]
            kinds = {str(path): kind for path in paths if (kind := kind_of(path))}
            if not kinds:
                raise BadFile(f"there is no image and no video in {text}")
            drivers += [Driver(*named) for named in kinds.items()]
        elif re.fullmatch(r"\s*\w+\s*=[^=/\\]*(,\s*\w+\s*=[^=/\\]*)*", text):
            drivers.append(Driver(text, "factors", parse_factors(text)))
        else:
            raise MissingFile(f"there is no driver {text[:200]}")
    return drivers


def parse_seed(text: str) -> int | None:
    """The seed of `random:SEED`; None for other texts."""
    if not text.startswith("random") or exists(text):
        return None
    if match := re.fullmatch(r"random:(\d{1,18})", text):
        return int(match[1])
    raise BadValue(f"a random identity is random:SEED, such as random:7; got '{text[:200]}'")


def is_latent(text: str) -> bool:
    return Path(text).suffix.lower() in LATENTS


def find_photos(texts: Sequence[str]) -> list[Path]:
    """Photos of one identity, folders taken apart."""
    photos: list[Path] = []
    for text in texts:
        if not exists(text):
            raise MissingFile(f"there is no identity {text[:200]}")
        paths = list_media(text) if Path(text).is_dir() else [Path(text)]
        if not (found := [path for path in paths if kind_of(path) == "image"]):
            raise MissingFile(f"an identity is a photo; there is none in {text}")
        photos += found
    return photos


def read_latent(path: str | Path, n_styles: int, w_dim: int) -> WPlus:
    """One code of W+ from a .npy or .safetensors file; a single style serves all layers."""
    if not exists(path):
        raise MissingFile(f"there is no latent {path}")
    try:
        if Path(path).suffix.lower() == ".npy":
            with open(path, "rb") as file:
                values = np.lib.format.read_array(file, allow_pickle=False)
        else:
            (tensor,) = load_file(path).values()
            values = tensor.float().numpy()
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        raise BadFile(f"{path} should hold one array of numbers, a latent: {error}") from error
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise BadFile(f"{path} should hold finite floating-point numbers")
    if values.size == w_dim:
        values = np.broadcast_to(values.reshape(1, w_dim), (n_styles, w_dim))
    if values.size != n_styles * w_dim or values.shape[-2:] != (n_styles, w_dim):
        shape = " x ".join(map(str, values.shape))
        raise BadFile(f"{path} is {shape}; these weights take latents of {n_styles} x {w_dim}")
    return torch.tensor(np.ascontiguousarray(values, np.float32)).reshape(1, n_styles, w_dim)


def name_outputs(drivers: Sequence[Driver], folder: Path) -> list[Path]:
    """One output a driver, named after it; a name that is taken, in any case, gets a number."""
    outputs, taken = [], set()
    for driver in drivers:
        stem = Path(driver.path).stem if exists(driver.path) else driver.path.replace("/", "_")
        names = chain([stem[:120]], (f"{stem[:120]}-{number}" for number in count(2)))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        outputs.append(folder / f"{name}{'.mp4' if driver.moves else '.png'}")
    return outputs


def check_outputs(inputs: Sequence[str], outputs: Sequence[Path], suffixes: Sequence[str]) -> None:
    """Refuse before any work outputs that cannot be written or would overwrite an input."""
    paths = [Path(text) for text in inputs if exists(text)]
    files = [p for path in paths for p in ([path, *list_media(path)] if path.is_dir() else [path])]
    for out in outputs:
        if out.suffix.lower() not in suffixes:
            raise BadValue(f"this output is written as {', '.join(suffixes)}; got {out}")
        if exists(out) and any(out.samefile(path) for path in files):
            raise BadValue(f"{out} is an input and would be overwritten; choose another --out")
        folder = next(path for path in out.absolute().parents if exists(path))
        if out.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            what = "is a folder" if out.is_dir() else f"lies in {folder}, which takes no files"
            raise UnwritableFile(f"{out} cannot be written: it {what}; choose another --out")
