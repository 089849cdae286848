"""What lies below a source, behind links too, and which oddities were met on the way."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from xfer.media.kinds import kind_of
from xfer.prepare.sequences import count_up, look_apart

WORLD_TABLE = "frames.parquet"
WORDS = {
    "twice": "what is found twice is taken once: {count} left out, such as {first}",
    "apart": "numbered pictures that differ like portraits are taken for portraits in {count} "
    "folders, such as {first}; --images frames takes them for clips",
    "unreadable": "{count} folders cannot be read and are left out, such as {first}",
}


def readable(name: str) -> str:
    """A file name whose bytes are no text, with marks in their place."""
    return os.fsencode(name).decode("utf-8", "replace")


class Remarks:
    """Oddities of the sources, each kind told in one line however often it is met."""

    def __init__(self) -> None:
        self._met: dict[str, list[str]] = {}

    def add(self, kind: str, path: str | Path) -> None:
        """Note one; `kind` is a key of `WORDS`."""
        self._met.setdefault(kind, []).append(readable(str(path)))

    def say(self) -> None:
        """Tell them on the error stream."""
        for kind, paths in self._met.items():
            print(WORDS[kind].format(count=len(paths), first=paths[0]), file=sys.stderr, flush=True)


def walk(root: Path, images: str, remarks: Remarks) -> Iterator[tuple[Path, str, str]]:
    """Paths, kinds and real paths below a source, sorted; what links lead to comes last."""
    if root.is_file():
        yield root, kind_of(root) or "video", os.path.realpath(root)
        return
    for folder, real, files in _folders(root, remarks):
        kinds = {folder / f: kind_of(folder / f) for f in sorted(files) if not f.startswith(".")}
        world = (folder / WORLD_TABLE).exists()
        pictures = [path for path, kind in kinds.items() if kind == "picture"]
        if pictures and _is_clip(folder, pictures, images, remarks):
            yield folder, "frames", real
            kinds = {path: kind for path, kind in kinds.items() if kind != "picture"}
        for path, kind in kinds.items():
            if kind:
                kind = "world" if world and kind == "video" else kind
                is_link = path.is_symlink()
                yield path, kind, os.path.realpath(path) if is_link else f"{real}/{path.name}"


def _folders(root: Path, remarks: Remarks) -> Iterator[tuple[Path, str, list[str]]]:
    """Every folder once, its real path and files; links are followed last, none into a circle."""

    def unreadable(error: OSError) -> None:
        remarks.add("unreadable", f"{error.filename} ({error.strerror})")

    waiting, visited = [root], set()
    while waiting:
        for folder, names, files in os.walk(waiting.pop(0), onerror=unreadable):
            here, real = Path(folder), os.path.realpath(folder)
            if real in visited:
                names.clear()
                continue
            visited.add(real)
            names[:] = sorted(name for name in names if not name.startswith("."))
            waiting += [here / name for name in names if (here / name).is_symlink()]
            yield here, real, files


def _is_clip(folder: Path, pictures: list[Path], choice: str, remarks: Remarks) -> bool:
    """Whether the pictures of a folder are the frames of a clip."""
    if choice != "auto":
        return choice == "frames"
    if not count_up(pictures):
        return False
    if look_apart(pictures):
        remarks.add("apart", folder)
        return False
    return True
