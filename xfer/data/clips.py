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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.runs import atomic

INDEX = "index.jsonl"
SPLITS = ("train", "val", "test")
JPEG_QUALITY = 92

Pixels = UInt8[np.ndarray, "height width 3"]


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
    """What one training sample sees, each a clip and a frame number."""

    driver: tuple[Clip, int]
    same: tuple[Clip, int]
    """Another frame of the driver's clip."""
    other: tuple[Clip, int]
    """A frame of another person."""


class Clips:
    """The clips of one folder, with random access to every frame.

    Attributes:
        clips: All of them, in the order of the index.
    """

    def __init__(self, folder: str | Path, clips: Sequence[Clip]):
        self.folder, self.clips = Path(folder), list(clips)

    def __len__(self) -> int:
        return len(self.clips)

    def split(self, name: str) -> list[Clip]:
        """The clips of "train", "val" or "test"; nobody is in two of them."""
        if name not in SPLITS:
            raise BadValue(f"a split is one of {', '.join(SPLITS)}; got '{name}'")
        return [clip for clip in self.clips if clip.split == name]

    def image(self, clip: Clip, i: int) -> Pixels:
        """Frame `i`, aligned, sRGB."""
        file, row = self._row(clip, i)
        return file.image(row)

    def w_plus(self, clip: Clip, i: int) -> Float[np.ndarray, "n_styles w_dim"] | None:
        """The code that frame `i` was generated from; None for real frames."""
        file, row = self._row(clip, i)
        return file.w_plus(row)

    def factors(self, clip: Clip, i: int) -> Float[np.ndarray, "n_factors"] | None:
        """Pose and expression read from frame `i`, in the order of `landmarker.FACTORS`."""
        file, row = self._row(clip, i)
        rows = file.rows("factors", row, row + 1)
        return None if rows is None else rows[0]

    def array(self, clip: Clip, name: str) -> Shaped[np.ndarray, "n_frames ..."] | None:
        """One number or array per frame: factors, landmarks, blendshapes, time_s, psi, units.

        None where the clip has no such array.
        """
        return self._file(clip).rows(name, clip.first, clip.first + clip.n_frames)

    def _file(self, clip: Clip) -> "_ClipFile":
        return open_clip_file(self.folder / clip.file)

    def _row(self, clip: Clip, i: int) -> "tuple[_ClipFile, int]":
        if not 0 <= i < clip.n_frames:
            raise BadValue(f"'{clip.name}' has frames 0 to {clip.n_frames - 1}; got {i}")
        return self._file(clip), clip.first + i


def open_clips(folder: str | Path) -> Clips:
    """Open a folder made by `xfer prepare` or `xfer synthesize`."""
    path = Path(folder) / INDEX
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise MissingFile(
            f"{folder} holds no clips (no {INDEX}); make them with `xfer prepare` or "
            "`xfer synthesize`"
        ) from None
    try:
        return Clips(folder, [Clip(**json.loads(line)) for line in lines])
    except (ValueError, TypeError) as error:
        raise BadFile(f"{path} should have one clip a line and cannot be read: {error}") from error


def sample_pair(clips: Sequence[Clip], seed: int, step: int, sample: int) -> Pair:
    """Two frames of one clip and a frame of another person: a function of the numbers alone.

    Args:
        clips: The clips to choose from, such as `clips.split("train")`.
        seed: Of the training run.
        step: Training step, from 0.
        sample: Place in the batch, from 0.
    """
    rng = np.random.default_rng((seed, step, sample))
    driver = _choose(clips, rng, lambda clip: clip.n_frames > 1, "a clip of two frames or more")
    i = int(rng.integers(driver.n_frames))
    j = (i + 1 + int(rng.integers(driver.n_frames - 1))) % driver.n_frames
    other = _choose(
        clips, rng, lambda clip: clip.person != driver.person, "clips of two people or more"
    )
    return Pair((driver, i), (driver, j), (other, int(rng.integers(other.n_frames))))


def _choose(
    clips: Sequence[Clip], rng: np.random.Generator, fits: Callable[[Clip], bool], wanted: str
) -> Clip:
    """A clip at random of those that fit; the tries before the search keep it cheap."""
    if clips:
        for place in rng.integers(len(clips), size=64).tolist():
            if fits(clips[place]):
                return clips[place]
    fitting = [clip for clip in clips if fits(clip)]
    if not fitting:
        raise BadValue(f"training pairs need {wanted}; {len(clips)} clips have none")
    return fitting[int(rng.integers(len(fitting)))]


def split_of(person: str) -> str:
    """Train (80%), val (10%) or test (10%), by a hash of the person's name."""
    share = int(hashlib.sha256(person.encode("utf-8", "surrogateescape")).hexdigest()[:8], 16) % 100
    return SPLITS[(share >= 80) + (share >= 90)]


def stored(w_plus: np.ndarray) -> np.ndarray:
    """A code as it comes back from disk: rounded to half precision, in float32."""
    return np.asarray(w_plus, np.float32).astype(np.float16).astype(np.float32)


def write_clip(
    folder: str | Path,
    name: str,
    person: str,
    images: Iterable[Pixels | bytes],
    source: str,
    w_plus: Float[np.ndarray, "n_frames n_styles w_dim"] | None = None,
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
    w_plus: Float[np.ndarray, "n_frames n_styles w_dim"] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write several clips into the one file that they all name, frames one clip after another.

    Args:
        pages: JPEG bytes of every frame.
    """
    sizes = [clip.n_frames for clip in clips]
    starts = [clip.first for clip in clips]
    if starts != np.cumsum([0, *sizes[:-1]]).tolist() or sum(sizes) != len(pages) or not pages:
        raise BadValue(f"clips of {sum(sizes)} frames in a row are required; got {len(pages)}")
    tensors = {name: np.ascontiguousarray(rows) for name, rows in (arrays or {}).items()}
    tensors |= {} if w_plus is None else _packed(w_plus)
    tensors["jpeg"] = np.frombuffer(b"".join(pages), np.uint8)
    tensors["ends"] = np.cumsum([len(page) for page in pages]).astype(np.int64)
    for key, rows in tensors.items():
        if len(rows) != len(pages) and key not in ("jpeg", "w_rows"):
            raise BadValue(f"'{key}' needs a row for each of {len(pages)} frames; got {len(rows)}")
    path = Path(folder) / clips[0].file
    lines = json.dumps([asdict(clip) for clip in clips])
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"clips": lines})


def write_index(folder: str | Path, files: Iterable[str] | None = None) -> Clips:
    """Write the index from what the files say of themselves.

    Args:
        files: Those that belong to it, in order; by default every one below `clips/`, by name.
    """
    folder = Path(folder)
    if files is None:
        paths = (folder / "clips").rglob("*.safetensors")
        files = sorted(str(path.relative_to(folder)) for path in paths)
    clips = [clip for file in files for clip in clips_in(folder / file)]
    with atomic(folder / INDEX) as temporary:
        temporary.write_text("".join(json.dumps(asdict(clip)) + "\n" for clip in clips))
    return Clips(folder, clips)


def clips_in(path: str | Path) -> list[Clip]:
    """What a file says of its clips."""
    with _reading(path), safe_open(path, "numpy") as file:
        return [Clip(**line) for line in json.loads(file.metadata()["clips"])]


def clip_file(name: str) -> str:
    """The file of a clip, by a hash of its name: names may be long, and have any sign in them."""
    key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name)[-48:].strip("-")
    return f"clips/{key[:2]}/{plain}-{key[2:12]}.safetensors"


def encode(image: Pixels, quality: int = JPEG_QUALITY) -> bytes:
    """A frame as JPEG."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return data.getvalue()


def _packed(w_plus: Float[np.ndarray, "n_frames n_styles w_dim"]) -> dict[str, np.ndarray]:
    """Codes with every row of W+ stored once: most styles of a clip never move."""
    rows = np.asarray(w_plus, np.float16)
    place: dict[bytes, int] = {}
    numbers = [place.setdefault(row.tobytes(), len(place)) for code in rows for row in code]
    unique = np.frombuffer(b"".join(place), np.float16).reshape(-1, rows.shape[-1])
    return {"w_rows": unique, "w_numbers": np.array(numbers, np.int32).reshape(rows.shape[:2])}


class _ClipFile:
    """An open file; what is small is read once, frames are read when asked for."""

    def __init__(self, path: str):
        self.path = path
        with _reading(path):
            self._file = safe_open(path, "numpy")
            self._names = set(self._file.keys())
            self._ends = self._file.get_tensor("ends")

    def image(self, row: int) -> Pixels:
        start = int(self._ends[row - 1]) if row else 0
        with _reading(self.path):
            page = self._file.get_slice("jpeg")[start : int(self._ends[row])]
            with Image.open(io.BytesIO(page.tobytes()), formats=["JPEG"]) as image:
                return np.array(image.convert("RGB"))

    def w_plus(self, row: int) -> Float[np.ndarray, "n_styles w_dim"] | None:
        if self._codes is None:
            return None
        rows, numbers = self._codes
        return rows[numbers[row]].astype(np.float32)

    def rows(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, "n_frames ..."] | None:
        if name not in self._names:
            return None
        with _reading(self.path):
            return self._file.get_slice(name)[start:stop]

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray] | None:
        if "w_rows" not in self._names:
            return None
        with _reading(self.path):
            return self._file.get_tensor("w_rows"), self._file.get_tensor("w_numbers")


def open_clip_file(path: Path) -> _ClipFile:
    """The file, opened once for all that read it; a file written anew is opened anew."""
    try:
        return _opened(str(path), os.stat(path).st_mtime_ns)
    except FileNotFoundError:
        raise MissingFile(f"{path} is missing; make its folder again") from None


@lru_cache(maxsize=128)
def _opened(path: str, _: int) -> _ClipFile:
    return _ClipFile(path)


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Errors of reading as `BadFile` that names the file."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{path} is no file of clips, or damaged: {error}") from error
