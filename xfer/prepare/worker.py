"""The child process: it takes jobs as lines of JSON, one at a time, and answers in the same way.

A line {"beat": n} is a sign of life; {"record": {...}} ends a job. Whatever decoders print goes to
the error stream, so that it cannot be taken for an answer.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from xfer.errors import XferError

BEAT_EVERY = 5
"""Frames between two signs of life."""


def serve(jobs: TextIO, answers: TextIO) -> None:
    """Prepare clips until the parent closes the line; end at once when the parent is gone."""
    import torch

    from xfer.prepare.clip import prepare_clip
    from xfer.prepare.records import Settings
    from xfer.prepare.sources import Input

    torch.set_num_threads(1)

    def tell(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def beat(frame: int) -> None:
        if frame % BEAT_EVERY == 0:
            tell(beat=frame)

    for line in jobs:
        job = json.loads(line)
        arguments = Input(**job["input"]), Settings(**job["settings"]), Path(job["part"])
        tell(beat=0)
        tell(record=_outcome(lambda: prepare_clip(*arguments, beat)))  # noqa: B023


def _outcome(work: Any) -> dict[str, Any]:
    """The facts of a good clip, or the reason why it is a bad one."""
    try:
        return {"status": "good"} | work()
    except XferError as error:
        return {"status": "bad", "reason": str(error)}
    except MemoryError:
        return {"status": "bad", "reason": "it needs more memory than a clip may have"}
    except BrokenPipeError:
        raise
    except Exception as error:
        return {"status": "bad", "reason": f"{type(error).__name__}: {error}"}


def limit_memory(megabytes: int) -> None:
    """Let allocations fail beyond this, where the system can count them."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, resource.RLIM_INFINITY))


def main() -> None:
    """Serve on the standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin, answers)
    # The parent is gone or done; nothing is left to flush into a broken pipe.
    os._exit(0)


if __name__ == "__main__":
    main()
