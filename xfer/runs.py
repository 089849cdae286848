"""A run's folder: what was run, where, with what result; a crash leaves no half file.

run.json      configuration, commit, versions, machine, seed, times
stats.jsonl   one line a tick
metrics.json  the result, written last: its presence says that the run is complete
"""

import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Libraries tell in many ways that they cannot open a file, so we try before they do; but
        # some make links or look whether anything came, so the file is gone again.
        temporary.touch()
        temporary.unlink()
    try:
        with full_disk_told(path):
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        with _naming(path):
            os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Refusals of the system as our error with the name that the user gave."""
    try:
        with full_disk_told(path):
            yield
    except UnwritableFile:
        raise
    except OSError as error:
        raise UnwritableFile(
            f"{path} cannot be written: {error.strerror or error}; choose another place, or see "
            "that its folder may be written to"
        ) from error


@contextlib.contextmanager
def full_disk_told(path: str | Path) -> Iterator[None]:
    """A disk that is full, within, as our error that names a file."""
    try:
        yield
    except Exception as error:
        if (number := _refusal(error)) not in FULL:
            raise
        raise UnwritableFile(
            f"{path} cannot be written: {os.strerror(number)}. Make room on the disk and run again"
        ) from error


def _refusal(error: Exception) -> int | None:
    """The system's number behind an error; Rust's libraries (safetensors) tell it in words."""
    if isinstance(error, OSError):
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    return int(told[1]) if told else None


@contextlib.contextmanager
def going_on_later(path: str | Path) -> Iterator[None]:
    """Refusals of the system, within, as the error of a run that is to be taken up again."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}. Make room on the disk and run "
            "again; the newest checkpoint is whole"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; some file systems refuse, which costs only durability."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: str | Path, value: Any) -> Path:
    """Write a value as indented JSON, atomically. NaN and infinity become strings."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")
    return Path(path)


def read_json(path: str | Path) -> Any:
    """Read JSON, or raise `BadFile` that names the file."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} should be a JSON file and cannot be read: {error}") from error


def _plain(value: Any) -> Any:
    """Dataclasses, tuples, paths and numbers of other libraries as JSON's own kinds."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if (isinstance(value, float) and value in (float("inf"), -float("inf"))) or value != value:
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


FAST = frozenset({"avx2", "avx512f", "avx512_bf16", "amx_bf16"})
"""Instructions that decide how fast networks are; processors of one name may lack some."""


def environment() -> dict[str, Any]:
    """What a result may depend on: commit, versions, machine."""
    packages = ("torch", "numpy", "xfer")
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in packages},
        "machine": {
            "processor": _cpu("model name") or platform.processor() or platform.machine(),
            "instructions": sorted(FAST.intersection(_cpu("flags").split())),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def commit() -> str | None:
    """The source tree's commit, with "+" if files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parents[1]
    try:
        call = lambda *args: subprocess.run(
            ["git", "-C", str(root), *args], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        dirty = call("status", "--porcelain", "--untracked-files=no", "--", "xfer")
        return call("rev-parse", "--short=12", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu(fact: str) -> str:
    """What Linux tells of the processor; nothing elsewhere."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.split(":")[0].strip() == fact:
                return line.split(":", 1)[1].strip()
    return ""


class Run:
    """An open run folder. Only one process at a time may hold it.

    The record is written when the run begins, which may still be refused until then.

    Args:
        folder: Made if absent. A folder that another process holds raises `RunError`.
        config: Anything JSON-able or a dataclass; stands in run.json.
        seed: The run's seed; stands in run.json.
        inputs: Names of what it is made from; they stand in run.json.
    """

    def __init__(
        self,
        folder: str | Path,
        config: Any,
        seed: int | None = None,
        inputs: Mapping[str, str] | None = None,
    ):
        self.folder = Path(folder)
        with _naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._acquire()
        self._started = time.monotonic()
        record = {"config": config, "seed": seed, "started": _now()} | environment()
        record |= {"inputs": dict(inputs)} if inputs else {}
        self.changes: dict[str, tuple[Any, Any]] = {}
        """Settings that are others than before, by dotted name: the old and the new value."""
        self.changed_inputs: dict[str, tuple[Any, Any]] = {}
        """The same of what it is made from."""
        self.record = self._resumed(record)

    def begin(self) -> None:
        """Write the record; a folder that takes none is let go of."""
        try:
            write_json(self.folder / "run.json", self.record)
        except OSError:
            self.leave()
            raise

    def _acquire(self):
        lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunError(
                f"{self.folder} is in use by another run; "
                "wait for it, stop it, or choose another folder"
            ) from None
        return lock

    def _resumed(self, record: dict[str, Any]) -> dict[str, Any]:
        """Keep the first start and count the later ones."""
        path = self.folder / "run.json"
        if not path.exists():
            return record | {"resumed": []}
        before = read_json(path)
        again = {"at": record["started"], "commit": record["commit"]}
        self.changes = dict(_changes(before.get("config"), _plain(record["config"])))
        self.changed_inputs = dict(_changes(before.get("inputs"), record.get("inputs")))
        changes = self.changes | self.changed_inputs
        again |= {"changes": changes} if changes else {}
        if inputs := before.get("inputs", {}) | record.get("inputs", {}):
            record["inputs"] = inputs
        return record | {
            "started": before.get("started", record["started"]),
            "resumed": [*before.get("resumed", []), again],
            "hours": before.get("hours", 0.0),
        }

    def log(self, **values: Any) -> dict[str, Any]:
        """Append one line to stats.jsonl and return it; raises `RunError` if the disk is full."""
        line, path = _plain(values), self.folder / "stats.jsonl"
        with going_on_later(path):
            _append_line(path, json.dumps(line, allow_nan=False))
        return line

    def finish(self, **metrics: Any) -> None:
        """Write metrics.json, the mark of a complete run, and let go of the folder."""
        write_json(self.folder / "metrics.json", metrics)
        self.close()

    def leave(self) -> None:
        """Let go of the folder with nothing written down."""
        self._lock.close()

    def close(self) -> None:
        """Record the hours spent and let go of the folder."""
        if self._lock.closed:
            return
        spent = (time.monotonic() - self._started) / 3600
        self.record["hours"] = round(self.record.get("hours", 0.0) + spent, 4)
        try:
            write_json(self.folder / "run.json", self.record)
        finally:
            self._lock.close()

    def __enter__(self) -> "Run":
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _changes(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What stands in both of two configurations with different values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() & now.keys()):
            yield from _changes(before[key], now[key], f"{name}.{key}" if name else key)
    elif before != now and name:
        yield name, (before, now)


def _append_line(path: Path, text: str) -> None:
    """Write a line at a file's end, in the place of a last one that a crash cut short."""
    with open(path, "ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(text.encode() + b"\n")


def read_stats(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's stats.jsonl; a last line cut short by a crash is left out."""
    path = Path(folder) / "stats.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except ValueError:
            if number != len(lines) - 1:
                raise BadFile(f"{path}, line {number + 1}: not JSON") from None
    return records


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


OPEN_ENDED = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"
"""A bar that leaves it to us to tell what is left."""


class Progress:
    """How far a long job is: a bar in a terminal or live notebook, plain lines elsewhere.

    Bars freeze under papermill and fill log files, so headless jobs print a line every
    `every_seconds` instead, with rate and time left.

    Args:
        done: Steps of an earlier run; they count as done and not towards the rate.
        ends: When the job ends though steps are left, by `time.monotonic`.
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str = "",
        every_seconds: float = 15.0,
        done: int = 0,
        ends: float | None = None,
    ):
        self.total, self.what, self.unit, self.every = total, what, unit, every_seconds
        self.done, self._start, self._shown = done, time.monotonic(), time.monotonic()
        self._before, self._ends = done, ends
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            shape = {"bar_format": OPEN_ENDED} if ends is not None else {}
            self._bar = tqdm(total=total, initial=done, desc=what, unit=unit or "it", **shape)

    def advance(self, steps: int = 1, **facts: Any) -> None:
        """Count `steps` more; `facts` are shown beside the count."""
        self.done += steps
        if self._bar is not None:
            told = facts if self._ends is None else facts | {"left": clock(self.left())}
            self._bar.set_postfix(told, refresh=False)
            self._bar.update(steps)
        elif time.monotonic() - self._shown >= self.every or self.done >= self.total:
            self._shown = time.monotonic()
            print(self.line(**facts), file=sys.stderr, flush=True)

    def line(self, **facts: Any) -> str:
        """The state as one line of text."""
        extra = "".join(f", {key} {value}" for key, value in facts.items())
        return (
            f"{self.what}: {self.done}/{self.total} {self.unit}".rstrip()
            + f", {self._rate():.3g} a second, {clock(self.left())} left{extra}"
        )

    def left(self) -> float:
        """Seconds until all steps are done, or until the job ends if that is sooner."""
        rate = self._rate()
        steps = (self.total - self.done) / rate if rate > 0 else float("inf")
        if self._ends is None:
            return steps
        return min(steps, max(self._ends - time.monotonic(), 0.0))

    def _rate(self) -> float:
        """Steps a second."""
        return (self.done - self._before) / max(time.monotonic() - self._start, 1e-9)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def clock(seconds: int | float) -> str:
    """Seconds as h:mm:ss; "?" when unknown."""
    if seconds != seconds or seconds == float("inf"):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
