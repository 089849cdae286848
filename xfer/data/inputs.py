"""What there is to prepare, and who is who.

CREMA-D (`1001_DFA_ANG_XX`), RAVDESS (`01-01-...-24`), VoxCeleb (folder `id00012`), GRID (folder
`s1` of clips like `bbaf2n`) and TalkingHead-1KH (a video's id) are recognised by name. Elsewhere
every file is a person of its own, or with `people="folder"` every folder directly below an input.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xfer.errors import BadValue, MissingFile
from xfer.media.images import kind_of, list_media

PERSON_IN_FILE = {
    "crema-d": r"(\d{4})_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}$",
    "ravdess": r"\d{2}(?:-\d{2}){5}-(\d{2})$",
    "talkinghead": r"(.{11})_\d{4}_S\d+_E\d+_",
}
PERSON_IN_FOLDER = {
    "voxceleb": (r"(id\d{5})$", r""),
    "grid": (r"(s\d\d?)(?:_\w+)?$", r"[a-z]{4}\d[a-z]$"),
}
"""For every data set what a folder is called, and the files in it."""


@dataclass(frozen=True)
class Input:
    """One thing to prepare: a video or an image."""

    path: str
    kind: Literal["video", "image"]
    name: str
    person: str


def find_inputs(roots: Iterable[str | Path], people: str = "auto") -> list[Input]:
    """Everything that may become a clip, each file once, in a fixed order; see `PrepareConfig`."""
    found: dict[Path, Input] = {}
    names: Counter[str] = Counter()
    for root in map(Path, roots):
        if not root.exists():
            raise MissingFile(f"inputs are videos, images or folders; there is no {root}")
        files = list_media(root, recursive=True) if root.is_dir() else [root]
        for path in files:
            if path.resolve() not in found:
                name = str(path.relative_to(root.parent))
                names[name] += 1
                name += f"#{names[name]}" if names[name] > 1 else ""
                person = person_of(path, root, people) or name
                found[path.resolve()] = Input(str(path), kind_of(path) or "video", name, person)
    if not found:
        raise BadValue(f"no video or image was found in {', '.join(map(str, roots))}")
    return list(found.values())


def person_of(path: Path, root: Path, people: str = "auto") -> str | None:
    """Who is in a file of the input `root`, by its name and folders; None where they are mute."""
    if people == "folder":
        top = root if root.is_dir() else root.parent
        return "/".join((top.name, *path.relative_to(top).parts[:-1][:1]))
    if people == "auto":
        for data_set, pattern in PERSON_IN_FILE.items():
            if match := re.match(pattern, path.stem):
                return f"{data_set}/{match[1]}"
        for folder in reversed(path.parts[:-1]):
            for data_set, (pattern, file) in PERSON_IN_FOLDER.items():
                if (match := re.match(pattern, folder)) and re.match(file, path.stem):
                    return f"{data_set}/{match[1]}"
    return None
