"""The one training loop: it resumes, saves, averages, skips bad steps, stops and reports.

A training is a `Task`: networks, optimisers and a step. Every random number is a function of
(seed, purpose, step, sample), so a checkpoint holds networks, optimisers and counters and nothing
else, and a resumed run equals a straight one bit for bit on one CPU.
"""

import contextlib
import copy
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from xfer.assets import cache_folder
from xfer.checkpoints import Storable, write_checkpoint
from xfer.errors import RunError, Stopped
from xfer.runs import Checkpoints, Run, forget_after, naming, read_json, refuse_changes
from xfer.training.config import FREE, TrainingConfig
from xfer.training.distributed import World, rng, share_norms

MAX_SKIPPED = 10
"""So many steps in a row that are not finite end a run."""
ADVICE = "the newest checkpoint is sound: lower learning_rate and start another folder"


class NonFinite(Exception):
    """A loss or gradient that is no finite number; the loop skips the step."""


class Task:
    """A training: what is learned, what data a step sees, and what a step does.

    Args:
        config: Frozen settings; stand in run.json.
        networks: Those that learn, by name. Storable ones go into weights.safetensors.
        optimisers: By name, over parameters of the networks.
        averaged: Names of networks of which a moving average is kept; weights hold that.
        frozen: Networks that do not learn and that weights hold, too, because they need them.
    """

    name = "training"

    def __init__(
        self,
        config: TrainingConfig,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        averaged: Sequence[str] = (),
        world: World | None = None,
        group: int = 1,
        frozen: Sequence[nn.Module] = (),
    ):
        self.config, self.world, self.frozen = config, world or World(), frozen
        self.networks = {name: network.train() for name, network in networks.items()}
        self.optimisers = dict(optimisers)
        averaged = averaged if config.ema_kimg else ()
        self.averaged = {
            name: copy.deepcopy(networks[name]).eval().requires_grad_(False) for name in averaged
        }
        self.samples = self.world.samples(config.batch, group)
        for network in self.networks.values():
            share_norms(network, self.world)

    def batch(self, step: int) -> Any:
        """The data of a step on the CPU, a function of seed and step alone."""

    def __getitem__(self, step: int) -> Any:
        return self.batch(step)  # so that a DataLoader takes it for a dataset of batches

    def step(self, step: int, batch: Any) -> dict[str, Tensor]:
        """Updates of the networks; returns the terms to report."""
        raise AssertionError("a task has a step of its own")

    def rngs(self, purpose: str, step: int) -> list[torch.Generator]:
        """A random generator for each sample of this process."""
        return [rng(self.config.seed, purpose, step, sample) for sample in self.samples]

    def weighted(self, terms: dict[str, Tensor]) -> Tensor:
        """The sum of terms, each with the weight that the configuration gives it."""
        return sum(getattr(self.config, name) * term for name, term in terms.items())

    def update(self, name: str, loss: Tensor) -> None:
        """Backward and one step of an optimiser; NonFinite before anything has changed."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        groups = [group["params"] for group in optimiser.param_groups]
        gradients = [p.grad for params in groups for p in params if p.grad is not None]
        total = loss.detach().clone()
        self.world.mean_([total, *gradients])
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        if not bool((norm + total).isfinite()):
            raise NonFinite
        if self.config.clip and norm > self.config.clip:
            torch._foreach_mul_(gradients, self.config.clip / norm)
        optimiser.step()

    def parts(self) -> dict[str, dict[str, Any]]:
        """What has a state that a checkpoint holds."""
        return {"networks": self.networks, "optimisers": self.optimisers, "ema": self.averaged}

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Move the averages: half-life `ema_kimg`, shorter while the run is young."""
        config = self.config
        half_life = min(config.ema_kimg * 1000, (step + 1) * config.batch * config.ema_rampup)
        for name, twin in self.averaged.items():
            network = self.networks[name]
            share = 1 - 0.5 ** (config.batch / half_life)
            torch._foreach_lerp_(list(twin.parameters()), list(network.parameters()), share)
            for ours, theirs in zip(twin.buffers(), network.buffers(), strict=True):
                ours.copy_(theirs)


def train(
    task: Task,
    folder: str | Path | None = None,
    inputs: Mapping[str, str] | None = None,
) -> Path:
    """Train to the end of the budget, going on from what the folder holds; returns the weights.

    Args:
        folder: Of the run: run.json, stats.jsonl, checkpoints/, tensorboard/, weights.safetensors;
            by default runs/NAME in the cache folder.
        inputs: What the run learns from, by name, for its record: paths, sizes, sha256.

    Raises:
        Stopped: After Ctrl-C or SIGTERM, everything saved.
        RunError: The folder holds another run, or too many steps were not finite.
    """
    folder = Path(folder or cache_folder() / "runs" / task.name)
    loop = _Loop(task, folder, inputs or {})
    with _signals() as caught, contextlib.closing(loop):
        loop.run(caught)
        task.world.any(False)  # none leaves before all are here
    if caught:
        how = "run the same command again to go on"
        raise Stopped(f"{folder} was stopped by {caught[0]} after step {loop.done}, saved; {how}")
    return folder / "weights.safetensors"


class _Loop:
    """One stay in a run's folder."""

    def __init__(self, task: Task, folder: Path, inputs: Mapping[str, str]):
        self.task, self.config, self.world = task, task.config, task.world
        self.folder, self.checkpoints = folder, Checkpoints(folder / "checkpoints")
        self.done, self.skipped, self.in_a_row, self.seconds = 0, 0, 0, 0.0
        self.sums: dict[str, tuple[Tensor, int]] = {}
        self.board, self.began = None, time.monotonic()
        self.buffers = [b for network in task.networks.values() for b in network.buffers()]
        if self.checkpoints.paths():
            refuse_changes(folder, self.config, FREE)
        self.writes = self.world.rank == 0
        self.record = Run(folder, self.config, inputs) if self.writes else None
        try:
            if state := self.checkpoints.newest():
                for kind, some in self.task.parts().items():
                    for name, part in some.items():
                        part.load_state_dict(state[kind][name])
                self.done, self.skipped, self.seconds = state["counters"]
            self.world.any(False)  # all have read before anything is removed
            if self.writes:
                self.record.begin()
                forget_after(folder, self.done)
        except BaseException:
            self.close()
            raise
        self.logged, self.saved = (self.done, self.began), self.done

    def run(self, caught: list[str]) -> None:
        """Steps until the budget is spent or a signal is caught; everything is saved then."""
        total = max(1, round(self.config.kimg * 1000 / self.config.batch))
        every = lambda kimg: max(1, round(kimg * 1000 / self.config.batch))
        # One message between the processes for both, since clocks and signals differ.
        is_over = lambda: self.world.any(bool(caught) or self._hours() >= hours)
        hours = self.config.hours or float("inf")
        batches = DataLoader(
            self.task, None, sampler=range(self.done, total),
            num_workers=self.config.workers, worker_init_fn=_ignore_signals,
        )  # fmt: skip
        with tqdm(
            desc=self.task.name, total=None if self.config.hours else total, initial=self.done,
            unit="step", disable=not self.writes, mininterval=0.5 if sys.stderr.isatty() else 60,
        ) as bar:  # fmt: skip
            for step, batch in enumerate(() if is_over() else batches, self.done):
                self._step(step, batch)
                self.done = step + 1
                over = is_over()
                if over or self.done == total or self.done % every(self.config.log_kimg) == 0:
                    self._log(bar)
                if over:
                    break
                if self.done % every(self.config.save_kimg) == 0:
                    self.save()
                bar.update()
        self.save()
        if self.writes and not caught:
            self.record.finish(steps=self.done, skipped=self.skipped, hours=self._hours())

    def _step(self, step: int, batch: Any) -> None:
        """One step; where anything is not finite, buffers are put back and the step is skipped."""
        # Running statistics move in the forward pass, before anyone knows whether a step is good.
        before = [buffer.clone() for buffer in self.buffers]
        # For layers that draw random numbers of their own, such as dropout.
        torch.manual_seed(rng(self.config.seed, "layers", step, self.world.rank).initial_seed())
        try:
            terms = self.task.step(step, batch)
            if not _are_finite(self.buffers):
                raise NonFinite
        except NonFinite:
            with torch.no_grad():
                for buffer, good in zip(self.buffers, before, strict=True):
                    buffer.copy_(good)
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
            if self.in_a_row >= MAX_SKIPPED:
                why = f"{MAX_SKIPPED} steps in a row, up to step {step + 1}, were not finite"
                raise RunError(f"{why}; {ADVICE}") from None
            return
        self.in_a_row = 0
        self.task.average(step)
        for name, value in terms.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value.detach(), count + 1)

    def _log(self, bar: tqdm) -> None:
        now, (step, then) = time.monotonic(), self.logged
        images = (self.done - step) * self.config.batch
        record = {
            "step": self.done,
            "kimg": round(self.done * self.config.batch / 1000, 3),
            "hours": round(self._hours(), 6),
            "images_per_s": round(images / max(now - then, 1e-9), 2),
            "skipped": self.skipped,
        } | {name: round(float(total) / n, 6) for name, (total, n) in self.sums.items()}
        self.logged, self.sums = (self.done, now), {}
        if not self.writes:
            return
        with naming(self.folder / "tensorboard"):
            if self.board is None:
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(self.folder / "tensorboard", purge_step=step)
            for name in record.keys() - {"step"}:
                self.board.add_scalar(name, record[name], self.done)
        record = self.record.log(**record)
        bar.set_postfix({k: v for k, v in record.items() if k != "step"}, refresh=False)

    def _hours(self) -> float:
        """Of training, those of earlier stays included."""
        return (self.seconds + time.monotonic() - self.began) / 3600

    def save(self) -> None:
        """A checkpoint, and the weights as they are for use."""
        if not self.writes or self.saved == self.done:
            return
        state = {
            kind: {name: part.state_dict() for name, part in some.items()}
            for kind, some in self.task.parts().items()
        } | {"counters": (self.done, self.skipped, self._hours() * 3600)}
        learned = [p for network in self.task.networks.values() for p in network.parameters()]
        if not _are_finite(learned):
            raise RunError(f"weights are not finite after step {self.done}; {ADVICE}")
        self.checkpoints.save(self.done, state)
        self.saved = self.done
        networks = *(self.task.networks | self.task.averaged).values(), *self.task.frozen
        packed = {n.role: n.pack() for n in networks if isinstance(n, Storable)}
        if packed:
            facts = {"steps": self.done, "skipped": self.skipped, "hours": round(self._hours(), 4)}
            facts = {"training": read_json(self.folder / "run.json") | facts}
            write_checkpoint(self.folder / "weights.safetensors", packed, facts)

    def close(self) -> None:
        if self.record is not None:
            self.record.close()
        if self.board is not None:
            with naming(self.folder / "tensorboard"):
                self.board.close()


def _ignore_signals(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """Names of the stop signals caught within; a second one of them acts at once."""
    caught: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: Any) -> None:
        caught.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _are_finite(tensors: Sequence[Tensor]) -> bool:
    floats = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    return not floats or bool(torch.stack(torch._foreach_norm(floats, torch.inf)).isfinite().all())
