"""Who may work on a preparation's folder at the same time: shares beside shares, all else alone."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from xfer.errors import RunError, UnwritableFile


@contextlib.contextmanager
def holding(folder: Path, shared: bool) -> Iterator[None]:
    """Hold the folder while the block runs; the system lets go of it when a process is killed.

    Args:
        shared: As one share of several, beside others; else alone.

    Raises:
        RunError: Somebody works on it who does not go together with this.
        UnwritableFile: The folder cannot be written.
    """
    path = folder / "runs" / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "a+")  # noqa: SIM115
    except OSError as error:
        raise UnwritableFile(
            f"{folder} cannot be written: {error.strerror or error}; choose another place"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"{folder} is in use by another preparation or merge, and only shares "
                "(--shard i/n) go side by side; wait for it, stop it, or choose another folder"
            ) from None
        yield
