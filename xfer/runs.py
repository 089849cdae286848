"""A run's folder: what was run, where, with what result; a crash leaves no half file.

run.json      configuration, inputs, commit, versions, machine, times
stats.jsonl   one line a tick
checkpoints/  the newest two states of a training
metrics.json  the result, written last: its presence says that the run is complete
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import secrets
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from xfer.errors import BadFile, RunError, UnwritableFile

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What systems say where a disk, a quota or a limit takes no more."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it onto `path` when the block ends well.

    The data is on disk before the final name appears. If the block raises, nothing remains.

    Raises:
        UnwritableFile: The folder or the file cannot be written, or the disk is full. What else
            goes wrong in the block is raised as it is.
    """
    path = Path(path)
    # Not derived from the name, which may fill all 255 bytes that systems allow.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary.touch()  # before libraries say in their own words that they cannot
        temporary.unlink()
    try:
        with naming(path, only=FULL):
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        with naming(path):
            os.replace(temporary, path)
        with contextlib.suppress(OSError):  # some systems do not make renames durable
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | Path, only: tuple[int, ...] | None = None) -> Iterator[None]:
    """Raise refusals of the system, or `only` these error numbers, as `UnwritableFile` that has the
    name which the user gave."""
    try:
        yield
    except UnwritableFile:
        raise
    except Exception as error:
        number, cause = None, error
        while number is None and cause is not None:  # PyTorch raises others over the system's
            number = getattr(cause, "errno", None)
            if number is None and (match := re.search(r"os error (\d+)", str(cause))):
                number = int(match[1])  # Rust's libraries (safetensors) say it in words
            cause = cause.__cause__ or cause.__context__
        if number is None or (number not in only if only else not isinstance(error, OSError)):
            raise
        todo = "make room on the disk and run again" if number in FULL else "choose another place"
        raise UnwritableFile(f"{path} cannot be written: {os.strerror(number)}; {todo}") from error


def write_json(path: str | Path, value: Any) -> Path:
    """Write a value as indented JSON, atomically. NaN and infinity become strings."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=2) + "\n")
    return Path(path)


def read_json(path: str | Path) -> Any:
    """Read JSON, or raise `BadFile` that names the file."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} should be a JSON file and cannot be read: {error}") from error


def _plain(value: Any) -> Any:
    """Dataclasses, tuples, paths and numbers of other libraries as JSON's own kinds."""
    plain = lambda x: x.tolist() if hasattr(x, "tolist") else str(x)
    other = lambda x: asdict(x) if is_dataclass(x) else plain(x)
    return json.loads(json.dumps(value, default=other), parse_constant=str)


def environment() -> dict[str, Any]:
    """What a result may depend on: commit, versions, machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "xfer")}
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as lines:
        name = next(line for line in lines if line.startswith("model name"))
        processor = name.split(":", 1)[1].strip()
    return {
        "commit": commit(),
        "versions": versions | {"python": platform.python_version()},
        "machine": {"processor": processor, "cores": cores, "system": platform.system()},
    }


def commit() -> str | None:
    """The source tree's commit, with "+" if files differ from it; None outside a repository."""
    describe = ["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
    command = ["git", "-C", str(Path(__file__).parent), *describe]
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.SubprocessError):
        return None


class Run:
    """A run's folder, for one process at a time; a run in a used folder resumes the old one.

    Args:
        folder: Made if absent.
        config: Anything JSON-able or a dataclass; stands in run.json.
        inputs: What the run learns from, by name; stands in run.json.
    """

    def __init__(self, folder: str | Path, config: Any, inputs: Mapping[str, str] | None = None):
        self.folder = Path(folder)
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RunError(f"{self.folder} is in use by another run; choose another") from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.record = {"config": config, "inputs": dict(inputs or {}), "started": now}
        self.record |= environment()
        if (self.folder / "run.json").exists():
            before = read_record(self.folder)
            again = {"at": now, "commit": self.record["commit"]}
            self.record["started"] = before.get("started", now)
            self.record["resumed"] = [*before.get("resumed", []), again]

    def begin(self) -> None:
        """Write run.json; until then the folder is as it was."""
        write_json(self.folder / "run.json", self.record)

    def log(self, **values: Any) -> dict[str, Any]:
        """Append one line to stats.jsonl, in the place of one that a crash cut short."""
        line, path = _plain(values), self.folder / "stats.jsonl"
        with naming(path), open(path, "ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            if file.read() not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(json.dumps(line).encode() + b"\n")
        return line

    def finish(self, **metrics: Any) -> None:
        """Write metrics.json, the mark of a complete run, and let go of the folder."""
        write_json(self.folder / "metrics.json", metrics)
        self.close()

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> "Run":
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_record(folder: Path) -> dict[str, Any]:
    """What run.json says of an earlier stay in a folder."""
    path, kinds = folder / "run.json", {"config": dict, "resumed": list}
    record = read_json(path)
    if not isinstance(record, dict) or not all(
        isinstance(record.get(name, kind()), kind) for name, kind in kinds.items()
    ):
        raise BadFile(f"{path} should be the record of a run and is damaged; start another folder")
    return record


def read_stats(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's stats.jsonl; a last line cut short by a crash is left out."""
    path = Path(folder) / "stats.jsonl"
    try:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [dict(json.loads(line)) for line in lines if line.endswith("\n")]
    except (ValueError, TypeError) as error:
        raise BadFile(f"{path} should hold a JSON object a line: {error}") from error


class Checkpoints:
    """The newest two states of a run, each named by its step and the sha256 of what it holds."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write a state whole or not at all, then remove those before the last two."""
        plain = self.folder / "new.pt"
        with atomic(plain) as temporary, open(temporary, "wb") as file:
            torch.save(state, file)  # which does not say why it cannot write to a path
        os.replace(plain, self.folder / f"step_{step:08d}.{sha256_of(plain)[:16]}.pt")
        for old in self.paths()[:-2]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The newest state that is whole; None where nothing was saved yet."""
        for path in reversed(self.paths()):
            if sha256_of(path).startswith(path.name.split(".")[1]):
                return torch.load(path, map_location="cpu", weights_only=True)
            print(f"{path} is damaged; going back to the one before", file=sys.stderr)
        if self.paths():
            raise BadFile(f"{self.folder}: all checkpoints are damaged; start another folder")
        return None

    def paths(self) -> list[Path]:
        """Of all states, oldest first."""
        return sorted(self.folder.glob("step_*.*.pt"))


def refuse_changes(folder: Path, config: Any, free: Collection[str]) -> None:
    """Raise RunError where the folder's run has other settings than these, `free` ones aside."""
    if not (folder / "run.json").exists():
        return
    now = json.loads(json.dumps(asdict(config)))
    usual = {f.name: now[f.name] for f in fields(config) if getattr(config, f.name) == f.default}
    before = usual | read_record(folder).get("config", {})
    changed = [n for n in now.keys() | before.keys() if before.get(n) != now.get(n)]
    if changed := sorted(set(changed) - set(free)):
        was = ", ".join(f"{n} was {before.get(n)}, not {now.get(n)}" for n in changed)
        raise RunError(f"{folder} holds a run with other settings: {was}; choose another folder")


def forget_after(folder: Path, step: int) -> None:
    """Drop lines of stats.jsonl and damaged states after a step: the run does it again."""
    for path in Checkpoints(folder / "checkpoints").paths():
        if int(path.name.split(".")[0].removeprefix("step_")) > step:
            path.unlink()
    lines = [json.dumps(line) for line in read_stats(folder) if line.get("step", 0) <= step]
    with atomic(folder / "stats.jsonl") as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
