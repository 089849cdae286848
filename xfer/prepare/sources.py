"""What there is to prepare: files and folders become inputs, each with its clip and person."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xfer.errors import BadValue, MissingFile, expect
from xfer.prepare.walking import Remarks, readable, walk

PERSON_FOLDER = re.compile(r"id\d{5}")
"""How VoxCeleb names people."""


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


class Candidate(NamedTuple):
    """Something found below a source, maybe not for the first time."""

    root: Path
    path: Path
    kind: str
    real: str
    """Where it lies, whatever links lead there."""


def find_inputs(
    sources: Sequence[str | Path], people: str = "auto", images: str = "auto"
) -> list[Input]:
    """Everything below the sources that may become a clip, in an order that is always the same.

    What several sources or links lead to is found once. Oddities are told on the error stream.

    Args:
        sources: Files and folders, searched to the bottom.
        people: 'auto': folders named like VoxCeleb's `id00012` are people, whether they lie below
            a source or it below them, otherwise every clip is a person of its own; 'folder': every
            folder directly below a source is a person, and the source itself is one for what lies
            in it directly; 'clip': every clip is a person of its own.
        images: 'auto': consecutively numbered pictures in a folder are the frames of one clip
            unless they differ like portraits; others are portraits; 'frames' or 'portraits' decides
            for all.
    """
    expect(people in ("auto", "folder", "clip"), f"people are auto, folder or clip; got '{people}'")
    expect(
        images in ("auto", "frames", "portraits"),
        f"images are auto, frames or portraits; got '{images}'",
    )
    remarks = Remarks()
    candidates = [c for source in map(Path, sources) for c in _candidates(source, images, remarks)]
    found, taken = [], {}
    for root, path, kind, _ in _once_each(candidates, remarks):
        inside = path.relative_to(root.parent)
        clip = _unused(readable(str(inside.with_suffix("") if kind != "frames" else inside)), taken)
        holder = path if kind == "frames" else path.parent
        person = _person(root, holder, people) or clip
        found.append(Input(len(found), str(path), kind, clip, person))
    remarks.say()
    if not found:
        raise BadValue(
            f"nothing to prepare in {', '.join(readable(str(s)) for s in sources)}: "
            "no video, picture or folder of frames"
        )
    return found


def _candidates(source: Path, images: str, remarks: Remarks) -> Iterator[Candidate]:
    if not source.exists():
        raise MissingFile(f"there is no {readable(str(source))} to prepare")
    root = source.resolve()
    return (Candidate(root, *found) for found in walk(root, images, remarks))


def _once_each(candidates: list[Candidate], remarks: Remarks) -> Iterator[Candidate]:
    """Each file under one of its names, so that nobody becomes two people.

    Of several names the one counts that leads over no link, else the first one.
    """
    chosen: dict[str, Candidate] = {}
    for candidate in candidates:
        before = chosen.setdefault(candidate.real, candidate)
        if str(before.path) != before.real and str(candidate.path) == candidate.real:
            chosen[candidate.real] = candidate
    clips = {real for real, candidate in chosen.items() if candidate.kind == "frames"}
    for candidate in candidates:
        is_frame = candidate.kind == "picture" and os.path.dirname(candidate.real) in clips
        if is_frame or chosen[candidate.real] is not candidate:
            remarks.add("twice", candidate.path)
        else:
            yield candidate


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
