"""Child processes, each with one clip at a time: a crash, a hang or a glut costs one clip."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from xfer.errors import RunError
from xfer.prepare.records import Settings
from xfer.prepare.sources import Input

LOOK_EVERY = 0.2
"""Seconds between two looks at memory and signs of life."""
RETIRE_AFTER = 400
"""Clips after which a child is replaced: decoders may keep a little memory each."""


@dataclass(frozen=True)
class Limits:
    """What one clip may cost."""

    memory_mb: int = 1500
    """Memory of the child process."""
    stall_s: float = 120.0
    """Time without a sign of life; the first includes the start of the process."""


@dataclass(frozen=True)
class Task:
    """One clip to prepare."""

    job: Input
    part: Path
    """Where its files go, without suffix."""


class _Child:
    """A process and what it is doing."""

    def __init__(self, limits: Limits, answers: queue.Queue):
        package = Path(__file__).resolve().parents[2]
        path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xfer.prepare.worker", str(2 * limits.memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self._limits, self.task, self.done = limits, None, 0
        self._alive_at, self.ended_by = time.monotonic(), ""
        self._listener = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        self._listener.start()

    def _listen(self, answers: queue.Queue) -> None:
        for line in self._process.stdout:
            answers.put((self, line))
        answers.put((self, None))

    def start(self, task: Task, settings: Settings) -> None:
        self.task, self._alive_at = task, time.monotonic()
        message = {"input": asdict(task.job), "settings": asdict(settings), "part": str(task.part)}
        # A child that has just died is noticed by its silence.
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def heard(self) -> None:
        self._alive_at = time.monotonic()

    def watch(self) -> None:
        """End the process where it goes beyond its limits."""
        if self.task is None or self.ended_by:
            return
        try:
            megabytes = psutil.Process(self._process.pid).memory_info().rss >> 20
        except psutil.Error:
            return
        if megabytes > self._limits.memory_mb:
            self._end(f"it needs more than {self._limits.memory_mb} MB of memory")
        elif time.monotonic() - self._alive_at > self._limits.stall_s:
            self._end(f"nothing happened for {self._limits.stall_s:g} s while it was read")

    def _end(self, reason: str) -> None:
        self.ended_by = reason
        self._process.kill()

    def cause_of_death(self) -> str:
        code = self._process.returncode
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def close(self) -> None:
        """End the process, at once if it is at work, and give its pipes back."""
        if self.task is not None:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()


class Pool:
    """Prepares clips in child processes.

    Args:
        workers: How many at a time.
    """

    def __init__(self, workers: int, settings: Settings, limits: Limits):
        self._workers, self._settings, self._limits = workers, settings, limits
        self._answers: queue.Queue = queue.Queue()
        self._children: list[_Child] = []
        self._finished = 0

    def run(self, tasks: list[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
        """Each task with its record, as they are done."""
        waiting, died_once = list(reversed(tasks)), set()
        try:
            while waiting or any(child.task for child in self._children):
                self._hand_out(waiting)
                for child, line in self._next_answers():
                    if line is not None:
                        yield from self._answered(child, json.loads(line))
                        continue
                    task, record = self._buried(child)
                    if task is None:
                        continue
                    if record is None and task not in died_once:
                        died_once.add(task)
                        waiting.append(task)
                    else:
                        yield task, record or _crashed(child)
        finally:
            for child in self._children:
                child.close()

    def _hand_out(self, waiting: list[Task]) -> None:
        idle = [child for child in self._children if child.task is None]
        for child in idle:
            if not waiting or child.done >= RETIRE_AFTER:
                child.close()
                self._children.remove(child)
        while waiting and len(self._children) < self._workers:
            self._children.append(_Child(self._limits, self._answers))
        for child in self._children:
            if waiting and child.task is None:
                child.start(waiting.pop(), self._settings)

    def _next_answers(self) -> list[tuple[_Child, str | None]]:
        """What has come in; waits a little for the first."""
        for child in self._children:
            child.watch()
        answers = []
        with contextlib.suppress(queue.Empty):
            answers.append(self._answers.get(timeout=LOOK_EVERY))
            while True:
                answers.append(self._answers.get_nowait())
        return answers

    def _answered(
        self, child: _Child, answer: dict[str, Any]
    ) -> Iterator[tuple[Task, dict[str, Any]]]:
        child.heard()
        if "record" in answer and child.task is not None:
            task, child.task = child.task, None
            child.done += 1
            self._finished += 1
            yield task, answer["record"]

    def _buried(self, child: _Child) -> tuple[Task | None, dict[str, Any] | None]:
        """A dead child's task, with its record where a limit was the cause of death."""
        if child not in self._children:
            return None, None
        self._children.remove(child)
        task, child.task = child.task, None
        child.close()
        if task is None and not self._finished:
            raise RunError(
                f"the process that prepares clips does not start ({child.cause_of_death()}); "
                "what it said stands above"
            )
        if task is not None and child.ended_by:
            return task, {"status": "bad", "reason": child.ended_by}
        return task, None


def _crashed(child: _Child) -> dict[str, Any]:
    cause = child.cause_of_death()
    return {"status": "bad", "reason": f"the process that read it died twice ({cause})"}
