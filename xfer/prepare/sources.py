"""What there is to prepare: files and folders become inputs, each with its clip and person."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from xfer.errors import BadValue, MissingFile, expect
from xfer.media.kinds import kind_of

LEAST_SEQUENCE = 5
"""So many consecutively numbered pictures in a folder are taken for the frames of one clip."""
PERSON_FOLDER = re.compile(r"id\d{5}")
"""How VoxCeleb names people."""
WORLD_TABLE = "frames.parquet"


@dataclass(frozen=True)
class Input:
    """One thing to prepare: it gives one clip, or one manifest line that says why not."""

    number: int
    path: str
    kind: str
    """video, world (a clip of the face world), frames (a folder of them) or picture."""
    clip: str
    person: str

    @property
    def shown_path(self) -> str:
        """The path in characters that every file can hold."""
        return readable(self.path)


def readable(name: str) -> str:
    """A file name whose bytes are no text, with marks in their place."""
    return os.fsencode(name).decode("utf-8", "replace")


def find_inputs(
    sources: Sequence[str | Path], people: str = "auto", images: str = "auto"
) -> list[Input]:
    """Everything below the sources that may become a clip, in an order that is always the same.

    Args:
        sources: Files and folders, searched to the bottom.
        people: 'auto': folders named like VoxCeleb's `id00012` are people, whether they lie below
            a source or it below them, otherwise every clip is a person of its own; 'folder': every
            folder directly below a source is a person, and the source itself is one for what lies
            in it directly; 'clip': every clip is a person of its own.
        images: 'auto': consecutively numbered pictures in a folder are the frames of one clip,
            others are portraits; 'frames' or 'portraits' decides for all.
    """
    expect(people in ("auto", "folder", "clip"), f"people are auto, folder or clip; got '{people}'")
    expect(
        images in ("auto", "frames", "portraits"),
        f"images are auto, frames or portraits; got '{images}'",
    )
    found, taken = [], {}
    for source in map(Path, sources):
        if not source.exists():
            raise MissingFile(f"there is no {readable(str(source))} to prepare")
        root = source.resolve()
        for path, kind in _walk(root, images):
            inside = path.relative_to(root.parent)
            clip = _unused(
                readable(str(inside.with_suffix("") if kind != "frames" else inside)), taken
            )
            holder = path if kind == "frames" else path.parent
            person = _person(root, holder, people) or clip
            found.append(Input(len(found), str(path), kind, clip, person))
    if not found:
        raise BadValue(
            f"nothing to prepare in {', '.join(readable(str(s)) for s in sources)}: "
            "no video, picture or folder of frames"
        )
    return found


def _unused(name: str, taken: dict[str, int]) -> str:
    """The name, or the name with a number where two inputs would share it."""
    taken[name] = taken.get(name, 0) + 1
    if taken[name] == 1:
        return name
    return _unused(f"{name}-{taken[name]}", taken)


def _person(source: Path, holder: Path, people: str) -> str | None:
    """Whom folders name: the same however much of their path was given as the source.

    Args:
        holder: The folder that a clip, or its frames, lie in.
    """
    if people == "auto":
        # The innermost: folders above may be named so for other reasons, as a user's home.
        return next((p for p in reversed(holder.parts) if PERSON_FOLDER.fullmatch(p)), None)
    if people == "folder":
        top = source if source.is_dir() else source.parent
        inside = holder.relative_to(top).parts
        folder = top / inside[0] if inside else top
        return readable(f"{folder.parent.name}/{folder.name}")
    return None


def _walk(root: Path, images: str) -> Iterator[tuple[Path, str]]:
    """Paths and kinds below a source, sorted."""
    if root.is_file():
        yield root, kind_of(root) or "video"
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        here = Path(folder)
        kinds = {here / f: kind_of(here / f) for f in sorted(files) if not f.startswith(".")}
        world = (here / WORLD_TABLE).exists()
        images_here = [path for path, kind in kinds.items() if kind == "picture"]
        if images_here and _is_sequence(images_here, images):
            yield here, "frames"
            kinds = {path: kind for path, kind in kinds.items() if kind != "picture"}
        for path, kind in kinds.items():
            if kind:
                yield path, "world" if world and kind == "video" else kind


def _is_sequence(images: list[Path], choice: str) -> bool:
    """Whether the pictures of a folder are frames: one name but for a number that counts up."""
    if choice != "auto":
        return choice == "frames"
    parts = [re.fullmatch(r"(.*?)(\d+)", path.stem) for path in images]
    if len(images) < LEAST_SEQUENCE or not all(parts):
        return False
    numbers = sorted(int(part[2]) for part in parts)
    steps = {b - a for a, b in pairwise(numbers)}
    return len({part[1] for part in parts}) == 1 and len(steps) == 1 and steps != {0}
