"""What every training loop shares: resume, save, stop on a signal, survive bad steps, report.

A loop asks its `Session` for steps and tells it what happened:

    with Session(folder, config, state, world) as session:
        for step in session.steps():
            ...
            session.update(optimiser, network, loss)
            yield from session.tick(step)
"""

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xfer.errors import RunError, Stopped, XferError, expect
from xfer.runs import Progress, Run, read_json
from xfer.training.board import Board
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.finite import Buffers, all_finite, tensors_in
from xfer.training.memory import is_out_of_memory, memory_told
from xfer.training.resuming import HasState, refuse_changes, restore, told, way_out

MAX_BAD_STEPS = 10
"""So many steps in a row that are not finite end a run."""
SOUND = "the newest good checkpoint is kept. Lower learning_rate, or set half=none"
"""What there is after numbers that are not finite, and what to do."""


_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""When the `time_limit` around ends, by `time.monotonic`."""
STOPS = [signal.SIGTERM, signal.SIGINT] + ([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])


@contextlib.contextmanager
def time_limit(hours: float | None) -> Iterator[None]:
    """Let sessions within end, as if their work was done, when the time is over.

    Their schedules end with it, too (`Session.scheduled_step`).

    Args:
        hours: None for no limit. Only where the system has alarms (not on Windows).
    """
    if hours is None:
        yield
        return
    expect(hours > 0, f"a time limit is a number of hours above 0; got {hours}")
    # An alarm between two sessions is not lost: it is repeated, which Linux does only for one that
    # is handled, not for one that is ignored.
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, hours * 3600, 1.0)
    deadline = _deadline.set(time.monotonic() + hours * 3600)
    try:
        yield
    finally:
        _deadline.reset(deadline)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_inputs: ContextVar[Mapping[str, str] | None] = ContextVar("inputs", default=None)
"""Names of what runs are made from, for their records."""


@contextlib.contextmanager
def made_from(inputs: Mapping[str, str] | None) -> Iterator[None]:
    """Let the records of sessions within name what their runs are made from."""
    before = _inputs.set(inputs)
    try:
        yield
    finally:
        _inputs.reset(before)


def leave_if_stopped(folder: str | Path) -> None:
    """Raise `Stopped` if the newest stay in a run's folder was ended by SIGTERM or Ctrl-C."""
    record = read_json(Path(folder) / "run.json")
    if record.get("stopped") in ("SIGTERM", "SIGINT"):
        raise Stopped(f"{folder} was stopped by {record['stopped']}; run again to go on")


@runtime_checkable
class RunConfig(Protocol):
    """What a session reads from any training configuration."""

    seed: int
    batch: int
    total_kimg: float
    tick_kimg: float
    save_kimg: float


class Session:
    """One stay in a run's folder.

    Args:
        folder: Of the run; held exclusively by rank 0.
        state: Everything that must survive, by name.
        score: Which of the counted values tells the best checkpoint, the lower the better; the
            losses of a game tell nothing.
    """

    def __init__(
        self,
        folder: str | Path,
        config: RunConfig,
        state: dict[str, HasState],
        world: World,
        score: str | None = None,
    ):
        self.config, self.state, self.world = config, state, world
        self.run = Run(folder, config, config.seed, _inputs.get()) if world.rank == 0 else None
        self.checkpoints = Checkpoints(folder)
        self.step, self.bad_steps, self.bad_in_a_row, self._bad = 0, 0, 0, False
        self.stopping: str | None = None
        self._totals: dict[str, list[float]] = {}
        self._clock, self._ticked = time.monotonic(), 0
        self._score, self._scored = score, None
        self._handlers: dict[int, Any] = {}
        self._board = Board(self.run.folder / "tensorboard", config.batch) if self.run else None
        self._buffers = Buffers(state.values())
        self._share = 0.0
        try:
            with memory_told(self._lower_batch):
                self._resume()
        except Exception:
            if self.run:
                self.run.leave()
            raise
        self._begun, self._ends = time.monotonic(), _deadline.get()

    # Counting ------------------------------------------------------------------------------

    @property
    def total_steps(self) -> int:
        return max(1, round(self.config.total_kimg * 1000 / self.config.batch))

    @property
    def kimg(self) -> float:
        """Training pictures seen so far, in thousands."""
        return self.step * self.config.batch / 1000

    @property
    def scheduled_step(self) -> float:
        """Where schedules are, in steps of `total_steps`: at the step, or further ahead where a
        time limit ends the run before all steps are done."""
        if self._ends is None:
            return self.step
        at = torch.tensor(self._share_done() * self.total_steps, device=self.world.device)
        self.world.mean_([at])  # clocks differ
        return at.item()

    def _share_done(self) -> float:
        """How much of the run is over, in steps or in time, by this process's clock."""
        done = self.step / self.total_steps
        if self._ends is None:
            return done
        passed = (time.monotonic() - self._begun) / max(self._ends - self._begun, 1e-9)
        return max(done, self._share + (1 - self._share) * min(passed, 1.0))

    def _every(self, kimg: float) -> int:
        return max(1, round(kimg * 1000 / self.config.batch))

    def steps(self) -> Iterator[int]:
        """Steps that are left; ends early, with everything saved, after SIGTERM, Ctrl-C or the end
        of a `time_limit`."""
        progress = Progress(
            self.total_steps, "training", "steps", every_seconds=60, done=self.step, ends=self._ends
        )
        while self.step < self.total_steps:
            self._bad = False
            self._buffers.keep()
            yield self.step
            self._judge_step()
            self.step += 1
            if self.world.rank == 0:
                progress.advance()
            if self.world.any(self.stopping is not None):
                break
            if self.step % self._every(self.config.save_kimg) == 0:
                self.save()
        self.save()

    # Updating ------------------------------------------------------------------------------

    def update(self, optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> bool:
        """Backward and one optimiser step; skipped and False where anything is not finite."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.world.average_gradients(network)
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norms = torch.stack(torch._foreach_norm([loss.detach(), *gradients]))
        good = not self.world.any(not bool(norms.isfinite().all()))
        if good:
            optimiser.step()
        self._bad |= not good
        return good

    def _judge_step(self) -> None:
        """Count a step with a bad update or buffer, and put its buffers back as they were.

        Ten in a row end the run, the last save stays.
        """
        # Not every forward pass is followed by an update that would tell of it.
        self._bad |= self.world.any(not self._buffers.are_finite())
        if self._bad:
            self._buffers.restore()
        self.bad_steps += self._bad
        self.bad_in_a_row = self.bad_in_a_row + 1 if self._bad else 0
        if self.bad_in_a_row >= MAX_BAD_STEPS:
            raise RunError(
                f"{MAX_BAD_STEPS} steps in a row were not finite, up to step {self.step}; {SOUND}"
            )

    def count(self, **values: float | Tensor) -> None:
        """Add values to this tick's means."""
        for name, value in values.items():
            total = self._totals.setdefault(name, [0.0, 0])
            total[0] += float(value)
            total[1] += 1

    # Reporting -----------------------------------------------------------------------------

    def tick(self) -> dict[str, Any] | None:
        """A record every `tick_kimg` (and at the end): means since the last one; else None."""
        done = self.step + 1
        is_last = done == self.total_steps or self.stopping == "SIGALRM"
        if done % self._every(self.config.tick_kimg) and not is_last:
            return None
        seconds, steps = time.monotonic() - self._clock, done - self._ticked
        record = {
            "step": done,
            "kimg": round(done * self.config.batch / 1000, 3),
            "images_per_second": round(steps * self.config.batch / max(seconds, 1e-9), 2),
            "bad_steps": self.bad_steps + self._bad,
        }
        record |= {name: round(total / n, 6) for name, (total, n) in self._totals.items()}
        self._scored = record.get(self._score) if self._score else None
        self._clock, self._ticked, self._totals = time.monotonic(), done, {}
        if self.run is None:
            return record
        record = self.run.log(**record)
        self._board.show(record)
        return record

    # Saving --------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint now, unless the newest step was not finite.

        Raises:
            RunError: The disk is full; or some weights are not finite though their updates were,
                which no later step mends.
        """
        if self.world.rank != 0 or self.bad_in_a_row:
            return
        state = {name: part.state_dict() for name, part in self.state.items()}
        if not all_finite(tensors_in(state)):
            raise RunError(f"what was learned up to step {self.step} is not finite; {SOUND}")
        counters = {"step": self.step, "bad_steps": self.bad_steps, "totals": self._totals}
        if self.stopping != "SIGALRM":  # a new limit after a whole one is a new schedule
            counters["share"] = self._share_done()
        self.checkpoints.save(self.step, state | {"session": counters}, self._scored)

    def _resume(self) -> None:
        found = self.checkpoints.load_latest()
        if found is None:
            return
        if self.run:
            refuse_changes(self.run)
        self.step, state = found
        for name, part in self.state.items():
            try:
                restore(part, state[name])
            except (KeyError, RuntimeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                changes = self.run.changes if self.run else {}
                raise RunError(
                    f"{self.checkpoints.folder.parent} holds another {name} than is asked for"
                    f"{told(changes)}; {way_out(changes)}"
                ) from error
        counters = state["session"]
        self.bad_steps, self._totals = counters["bad_steps"], counters["totals"]
        self._share = counters.get("share", self.step / self.total_steps)
        self._ticked = self.step

    # Stopping ------------------------------------------------------------------------------

    def __enter__(self) -> "Session":
        # Before the record tells that the run has begun, so that it can be stopped from then on.
        for number in STOPS:
            self._handlers[number] = signal.signal(number, self._note_signal)
        try:
            if self.run:
                self.run.begin()
        except Exception:
            self._restore_handlers()
            raise
        return self

    def _note_signal(self, number: int, _: Any) -> None:
        # An alarm is repeated; it must not hide that somebody asked to stop.
        if self.stopping in (None, "SIGALRM"):
            self.stopping = signal.Signals(number).name

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def __exit__(self, kind: type | None, error: BaseException | None, _: Any) -> None:
        self._restore_handlers()
        # On a full disk closing fails, too; the first error is the one to tell.
        with contextlib.suppress(XferError, OSError) if error else contextlib.nullcontext():
            self._close()
        if is_out_of_memory(error):
            raise RunError(f"out of memory {self._lower_batch}") from error

    def _close(self) -> None:
        if self.run is None:
            return
        self.run.record["stopped"] = self.stopping
        with contextlib.closing(self.run):
            self._board.close()

    @property
    def _lower_batch(self) -> str:
        """What to do about too little memory."""
        return (
            f"at batch {self.config.batch}; lower it with --set batch=N, in another folder if "
            "this one has checkpoints"
        )
