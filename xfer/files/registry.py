"""Checkpoints known by name: the small ones shipped in data/weights, and public ones.

A public file's sha256 stands here only where somebody verified it; else it is recorded beside the
file at first fetch (see records.py) and checked ever after.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from xfer.errors import MissingFile

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "weights"

NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
NVIDIA = "Nvidia Source Code License-NC: research only"


@dataclass(frozen=True)
class PublicFile:
    """A file that others publish. Empty fields: nobody has verified them."""

    file: str
    """Its name at the origin and in the cache."""
    what: str
    page: str
    """Where it is described."""
    licence: str
    url: str = ""
    drive_id: str = ""
    """Of Google Drive, instead of a url."""
    size: int | None = None
    """Bytes."""
    sha256: str = ""

    @property
    def address(self) -> str:
        """Where it is fetched from."""
        return self.url or f"https://drive.google.com/uc?id={self.drive_id}"


def _ngc(size: int) -> PublicFile:
    file = f"stylegan2-ffhq-{size}x{size}.pkl"
    what = f"StyleGAN2, FFHQ, {size} px, NVlabs pickle"
    return PublicFile(file, what, "https://github.com/NVlabs/stylegan3", NVIDIA, url=NGC + file)


PUBLIC = {
    "stylegan2-ffhq-config-f": PublicFile(
        "stylegan2-ffhq-config-f.pt",
        "StyleGAN2, FFHQ, 1024 px, rosinality layout",
        "https://github.com/eladrich/pixel2style2pixel",
        NVIDIA,
        drive_id="1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT",
    ),
    "stylegan2-ffhq-256": _ngc(256),
    "stylegan2-ffhq-512": _ngc(512),
    "stylegan2-ffhq-1024": _ngc(1024),
    "stylegan2-ada-ffhq": PublicFile(
        "ffhq.pkl",
        "StyleGAN2, FFHQ, 1024 px, NVlabs pickle",
        "https://github.com/NVlabs/stylegan2-ada-pytorch",
        NVIDIA,
        url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl",
    ),
    "restyle-psp-ffhq": PublicFile(
        "restyle_psp_ffhq_encode.pt",
        "ReStyle-pSp identity encoder with its generator, FFHQ, 1024 px",
        "https://github.com/yuval-alaluf/restyle-encoder",
        f"MIT; its generator: {NVIDIA}",
        drive_id="1sw6I2lRIB0MpuJkpc8F5BJiSZrc0hjfE",
    ),
    "pose-transfer-paper": PublicFile(
        "best_model.pt",
        "the paper's own model: motion encoder, mapper, generator, 1024 px",
        "https://arxiv.org/abs/2504.13021",
        f"unknown; its generator: {NVIDIA}",
        drive_id="11q5_a0NAceAeQ7-WyH8hjIROcYwlTAax",
    ),
    "arcface-ir-se50": PublicFile(
        "model_ir_se50.pth",
        "ArcFace face recogniser, IR-SE50",
        "https://github.com/TreB1eN/InsightFace_Pytorch",
        "MIT",
        drive_id="1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn",
    ),
}


def cache() -> Path:
    """Folder of fetched files: $XFER_CACHE, or the user's cache."""
    if place := os.environ.get("XFER_CACHE"):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xfer"


def place(name: str) -> Path:
    """Where the public file of a name lies once it is fetched."""
    return cache() / "weights" / PUBLIC[name].file


def shipped() -> dict[str, Path]:
    """Shipped files by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def locate(name: str | Path) -> Path:
    """The file of a path, or of a shipped or fetched name; a folder hides no name."""
    path, known = Path(name).expanduser(), [*shipped(), *PUBLIC]
    if os.path.lexists(path) and not (path.is_dir() and str(name) in known):
        return path
    if str(name) in shipped():
        return shipped()[str(name)]
    if str(name) in PUBLIC:
        if not place(str(name)).exists():
            raise MissingFile(f"{name} is not fetched yet: run `xfer weights fetch {name}`")
        return place(str(name))
    names = ", ".join(known)
    raise MissingFile(f"{path} does not exist, and no checkpoint has that name; names: {names}")
