"""Aligned clips on disk: one index, and files that hold the frames of one or several clips.

    index.jsonl            one line per clip; derived from the files, see `write_index`
    clips/ab/*.safetensors JPEG frames, latent codes and per-frame readings; nothing in it is code

Latent codes are stored in half precision: a generated frame is rendered from `stored(w_plus)`, so
that the code of a frame is exactly the one that made it.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.media.images import Pixels
from xfer.runs import Run, atomic, read_record, refuse_changes, sha256_of

INDEX = "index.jsonl"
SPLITS = ("train", "val", "test")

Codes = Float[np.ndarray, "n_frames n_styles w_dim"]


@dataclass(frozen=True)
class Clip:
    """A clip of the index.

    Args:
        source: "generated", or the input that it was cut out of.
        file: Path of its file inside the folder.
        first: Row of its first frame in that file.
    """

    name: str
    person: str
    split: str
    n_frames: int
    source: str
    file: str
    first: int = 0


class Pair(NamedTuple):
    """What one training sample sees, each a clip and a frame number.

    `same` is another frame of the driver's clip, `other` a frame of another person.
    """

    driver: tuple[Clip, int]
    same: tuple[Clip, int]
    other: tuple[Clip, int]


class Clips:
    """The clips of one folder in the order of the index, with random access to every frame."""

    def __init__(self, folder: str | Path, clips: Sequence[Clip]):
        self.folder, self.clips = Path(folder), list(clips)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def generator(self) -> str | None:
        """Who made them: "ffhq" or a generator's file; None for real films."""
        if not (self.folder / "run.json").exists():
            return None
        return read_record(self.folder).get("config", {}).get("generator")

    def split(self, name: str) -> list[Clip]:
        """The clips of "train", "val" or "test"; nobody is in two of them."""
        return [clip for clip in self.clips if clip.split == name]

    def image(self, clip: Clip, i: int) -> Pixels:
        """Frame `i`, aligned, sRGB."""
        with self._open(clip) as file:
            row, ends = _row(clip, i), file.ends
            page = file.tensors.get_slice("jpeg")[int(ends[row - 1]) if row else 0 : int(ends[row])]
            with Image.open(io.BytesIO(page.tobytes()), formats=["JPEG"]) as image:
                return np.array(image.convert("RGB"))

    def w_plus(self, clip: Clip, i: int) -> Float[np.ndarray, "n_styles w_dim"] | None:
        """The code that frame `i` was generated from; None for real frames."""
        with self._open(clip) as file:
            rows = None if file.w_rows is None else file.w_rows[file.w_numbers[_row(clip, i)]]
            return None if rows is None else rows.astype(np.float32)

    def factors(self, clip: Clip, i: int) -> Float[np.ndarray, "n_factors"] | None:
        """Pose and expression read from frame `i`, in the order of `landmarker.FACTORS`."""
        rows = self.array(clip, "factors")
        return None if rows is None else rows[i]

    def array(self, clip: Clip, name: str) -> Shaped[np.ndarray, "n_frames ..."] | None:
        """A number or array per frame: factors, landmarks, blendshapes, time_s, psi or units.

        None where the clip has no such array.
        """
        rows = slice(clip.first, clip.first + clip.n_frames)
        with self._open(clip) as file:
            return file.tensors.get_slice(name)[rows] if name in file.names else None

    @contextmanager
    def _open(self, clip: Clip) -> Iterator["_ClipFile"]:
        path = self.folder / clip.file
        with _reading(path):
            yield _open_file(str(path), os.stat(path).st_mtime_ns)


def open_clips(folder: str | Path) -> Clips:
    """Open a folder made by `xfer prepare` or `xfer synthesize`."""
    path = Path(folder) / INDEX
    try:
        return Clips(folder, [Clip(**json.loads(line)) for line in path.read_text().splitlines()])
    except FileNotFoundError:
        make = "make them with `xfer prepare` or `xfer synthesize`"
        raise MissingFile(f"{folder} holds no clips (no {INDEX}); {make}") from None
    except (ValueError, TypeError) as error:
        raise BadFile(f"{path} should have one clip a line and cannot be read: {error}") from error


def sample_pair(clips: Sequence[Clip], seed: int, step: int, sample: int) -> Pair:
    """Two frames of one clip and a frame of another person: a function of the numbers alone.

    A clip of one frame gives that frame twice.
    """
    rng = np.random.default_rng((seed, step, sample))
    order = (clips[i] for i in rng.permutation(len(clips)))
    driver = next(order, None)
    other = next((clip for clip in order if clip.person != driver.person), None)
    if other is None:
        raise BadValue(f"training pairs need clips of two people or more; got {len(clips)} clips")
    i = int(rng.integers(driver.n_frames))
    j = (i + 1 + int(rng.integers(max(driver.n_frames - 1, 1)))) % driver.n_frames
    return Pair((driver, i), (driver, j), (other, int(rng.integers(other.n_frames))))


def split_of(person: str) -> str:
    """Train (80%), val (10%) or test (10%), by a hash of the person's name."""
    share = int(_hash(person)[:8], 16) % 100
    return SPLITS[(share >= 80) + (share >= 90)]


def stored(w_plus: np.ndarray) -> np.ndarray:
    """A code as it comes back from disk: rounded to half precision, in float32."""
    return np.asarray(w_plus, np.float16).astype(np.float32)


def encode(image: Pixels, quality: int = 92) -> bytes:
    """A frame as JPEG."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return data.getvalue()


def write_clip(
    folder: str | Path,
    name: str,
    person: str,
    images: Iterable[Pixels | bytes],
    source: str,
    w_plus: Codes | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> Clip:
    """Write one clip as a file of its own; call `write_index` when all clips are written.

    Args:
        name: Unique in the folder.
        images: Aligned frames of one size, or their JPEG bytes (`encode`).
        source: "generated", or the input's path.
        w_plus: The frames' codes where they are known.
        arrays: Anything else with one row a frame; "factors" are read by `Clips.factors`.
    """
    pages = [image if isinstance(image, bytes) else encode(image) for image in images]
    clip = Clip(name, person, split_of(person), len(pages), source, clip_file(name))
    write_clips(folder, [clip], pages, w_plus, arrays)
    return clip


def write_clips(
    folder: str | Path,
    clips: Sequence[Clip],
    pages: Sequence[bytes],
    w_plus: Codes | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write several clips into the one file that they all name, one clip's frames after another's.

    Args:
        pages: JPEG bytes of every frame.
    """
    tensors = {name: np.ascontiguousarray(rows) for name, rows in (arrays or {}).items()}
    tensors["ends"] = np.cumsum([len(page) for page in pages])
    if w_plus is not None:
        # Every row of W+ once: most styles of a clip never move.
        place: dict[bytes, int] = {}
        codes = np.asarray(w_plus, np.float16)
        numbers = [[place.setdefault(row.tobytes(), len(place)) for row in code] for code in codes]
        tensors["w_numbers"] = np.array(numbers, np.int32)
        tensors["w_rows"] = np.frombuffer(b"".join(place), np.float16).reshape(len(place), -1)
    tensors["jpeg"] = np.frombuffer(b"".join(pages), np.uint8)
    lines = json.dumps([asdict(clip) for clip in clips])
    with atomic(Path(folder) / clips[0].file) as temporary:
        temporary.write_bytes(save(tensors, {"clips": lines}))


def write_index(folder: str | Path, files: Iterable[str] | None = None) -> Clips:
    """Write the index from what the files say of themselves.

    Args:
        files: Those that belong to it, in order; by default every one below `clips/`, by name.
    """
    folder, clips = Path(folder), []
    paths = sorted((folder / "clips").rglob("*.safetensors"))
    for path in paths if files is None else [folder / file for file in files]:
        with _reading(path), safe_open(path, "numpy") as file:
            clips += [Clip(**line) for line in json.loads(file.metadata()["clips"])]
    with atomic(folder / INDEX) as temporary:
        temporary.write_text("".join(json.dumps(asdict(clip)) + "\n" for clip in clips))
    return Clips(folder, clips)


def claim(folder: str | Path, config: Any, free: Collection[str]) -> Run:
    """The run of a folder of clips, for one process at a time; once there are clips, only `free`
    settings may change."""
    if any(Path(folder).glob("clips/*")):
        refuse_changes(Path(folder), config, free)
    run = Run(folder, config)
    for left in Path(folder).rglob(".*.part"):  # by a process that was killed
        left.unlink()
    return run


def clip_file(name: str) -> str:
    """The file of a clip, by a hash of its name: names may be long, and have any sign in them."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name)[-48:].strip("-")
    return f"clips/{_hash(name)[:2]}/{plain}-{_hash(name)[2:12]}.safetensors"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def fingerprint(data: str | Path) -> str:
    """What a folder of clips is, for records: path, number of clips, sha256 of the index."""
    index = Path(data) / INDEX
    count = len(index.read_text().splitlines())
    return f"{data}: {count} clips, index sha256 {sha256_of(index)}"


def _row(clip: Clip, i: int) -> int:
    if not 0 <= i < clip.n_frames:
        raise BadValue(f"'{clip.name}' has frames 0 to {clip.n_frames - 1}; got {i}")
    return clip.first + i


class _ClipFile(NamedTuple):
    """An open file: what is small is read once, frames are read when requested."""

    tensors: Any
    names: set[str]
    ends: np.ndarray
    """Of each frame's JPEG among those of all frames, in bytes."""
    w_rows: np.ndarray | None
    """Every row of W+ that occurs."""
    w_numbers: np.ndarray | None
    """Which of them each frame's styles are."""


@lru_cache(maxsize=128)
def _open_file(path: str, changed_ns: int) -> _ClipFile:
    """A file, opened once for all that read it; opened anew when it changed."""
    file = safe_open(path, "numpy")
    names = set(file.keys())
    read = lambda name: file.get_tensor(name) if name in names else None
    return _ClipFile(file, names, file.get_tensor("ends"), read("w_rows"), read("w_numbers"))


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Errors of reading as `BadFile` that names the file."""
    try:
        yield
    except BadValue:
        raise
    except FileNotFoundError:
        raise MissingFile(f"{path} is missing; make its folder again") from None
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise BadFile(f"{path} is no file of clips, or damaged: {error}") from error
