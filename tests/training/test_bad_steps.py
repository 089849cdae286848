"""Numbers that are not finite: nothing of them stays, no good checkpoint is lost to them."""

import itertools
import random
from collections import Counter

import pytest
import torch
from test_train_generator import pictures, same, tiny, weights
from tiny_loops import LOOPS

from xfer.errors import RunError
from xfer.runs import read_json
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.distributed import World
from xfer.training.finite import Buffers, all_finite, tensors_in
from xfer.training.session import Session
from xfer.training.train_generator import GeneratorTrainer, train_generator

NAN, INF = float("nan"), float("inf")


def newest(folder):
    """Step and all numbers of the newest checkpoint."""
    step, state = Checkpoints(folder).load_latest()
    return step, state, torch.cat([t.double().flatten() for t in tensors_in(state)])


@pytest.mark.parametrize("loop", LOOPS)
def test_batches_that_are_no_numbers_leave_nothing_behind(loop, tmp_path):
    records = list(LOOPS[loop](tmp_path, 6, {1, 3}))
    step, state, numbers = newest(tmp_path)
    assert step == 6 and state["session"]["bad_steps"] == 2
    assert records[-1]["bad_steps"] == 2
    assert len(numbers) > 500 and numbers.isfinite().all()


def test_a_bad_step_leaves_buffers_as_they_were_and_a_good_one_moves_them(tmp_path):
    seen = normed_steps(tmp_path, {2: NAN, 4: INF})
    still = [step for step in range(6) if torch.equal(seen[step], seen[step + 1])]
    assert still == [2, 4]


def normed_steps(folder, bad, steps=6, rate=0.1, steep=1.0):
    """A batch norm's running statistics before every step and after the last."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8))
    optimiser, seen = torch.optim.SGD(network.parameters(), rate), []
    chosen = preset(GENERATOR_PRESETS, "nano", batch=10, total_kimg=steps / 100)
    state = {"network": network, "optimiser": optimiser}
    read = lambda: torch.cat([buffer.flatten().float() for buffer in network.buffers()])
    with Session(folder, chosen, state, World()) as session:
        for step in session.steps():
            seen.append(read())
            loss = network(torch.randn(10, 8) * bad.get(step, 1.0)).square().mean()
            session.update(optimiser, network, loss * steep)
            session.tick()
    return [*seen, read()]


def test_weights_that_are_no_numbers_are_not_saved_over_good_ones(tmp_path):
    """The gradient is finite, the step it leads to is not."""
    normed_steps(tmp_path, {}, steps=2)
    with pytest.raises(RunError, match="up to step 3 is not finite; the newest good checkpoint"):
        normed_steps(tmp_path, {}, steps=3, rate=1e38, steep=1e9)
    step, _, numbers = newest(tmp_path)
    assert step == 2 and numbers.isfinite().all()
    normed_steps(tmp_path, {}, steps=3)  # the folder is free, and the run goes on from there
    assert newest(tmp_path)[0] == 3


def test_buffers_come_back_and_other_parts_have_none():
    norm = torch.nn.BatchNorm1d(3)
    buffers = Buffers([norm, torch.optim.SGD(norm.parameters(), 0.1)])
    norm(torch.full((4, 3), NAN))
    assert not buffers.are_finite()
    buffers.restore()
    assert buffers.are_finite() and norm.num_batches_tracked == 0
    norm(torch.randn(4, 3))
    buffers.keep()
    norm(torch.randn(4, 3))
    buffers.restore()
    assert norm.num_batches_tracked == 1
    assert Buffers([]).are_finite()


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_one_number_of_any_tensor_tells(bad):
    state = {"a": torch.ones(3), "b": [torch.ones(2, 2), {"c": torch.tensor(1.0)}], "d": 5}
    state |= {"empty": torch.ones(0), "whole": torch.tensor(3), "half": torch.ones(2).half()}
    assert all_finite(tensors_in(state))
    state["b"][0][1, 0] = bad
    assert not all_finite(tensors_in(state))


PHASES = {
    "critic": "critic_loss", "R1": "r1_loss", "generator": "generator_loss",
    "path length": "path_loss",
}  # fmt: skip


@pytest.fixture
def inject(monkeypatch):
    """Give bad numbers as the losses of a plan's phases, by step; counts what was given."""

    def prepare(plan):
        given, now, real = Counter(), [], GeneratorTrainer.real

        def begin(trainer, step, batches):
            now[:] = [step]
            return real(trainer, step, batches)

        def spoiling(phase, whole):
            def loss(trainer, *asked):
                found, facts = whole(trainer, *asked)
                if plan.get(now[0]) != phase:
                    return found, facts
                given[phase] += 1
                return found * (NAN if now[0] % 2 else INF), facts

            return loss

        monkeypatch.setattr(GeneratorTrainer, "real", begin)
        for phase, name in PHASES.items():
            monkeypatch.setattr(
                GeneratorTrainer, name, spoiling(phase, getattr(GeneratorTrainer, name))
            )
        return given

    return prepare


def test_thirty_bad_losses_at_random_moments_are_survived(inject, tmp_path):
    steps, rng = 60, random.Random(0)
    config = tiny(steps, save_every=10)
    due = {"critic": 1, "generator": 1, "R1": config.r1_interval}
    due["path length"] = config.path_interval
    phases = lambda step: [phase for phase, every in due.items() if step % every == 0]
    plan = {step: rng.choice(phases(step)) for step in rng.sample(range(steps - 1), 30)}
    good = [-1, *(step for step in range(steps) if step not in plan)]
    assert max(b - a for a, b in itertools.pairwise(good)) <= 10
    given = inject(plan)
    records = list(train_generator(config, pictures(), tmp_path))
    assert given == Counter(plan.values()) and min(given[phase] for phase in PHASES) >= 3
    step, state, numbers = newest(tmp_path)
    assert step == steps and records[-1]["step"] == steps
    assert records[-1]["bad_steps"] == state["session"]["bad_steps"] == 30
    assert numbers.isfinite().all()
    turns = {phase: len(range(0, steps, every)) - given[phase] for phase, every in due.items()}
    # Adam counts the updates that it made.
    updates = lambda name: max(int(one["step"]) for one in state[name]["state"].values())
    assert updates("d_optimiser") == turns["critic"] + turns["R1"]
    assert updates("g_optimiser") == turns["generator"] + turns["path length"]


@pytest.mark.parametrize("phase", PHASES)
def test_ten_bad_steps_in_a_row_stop_the_run_and_spare_the_checkpoints(phase, inject, tmp_path):
    chosen = {"save_every": 1, "r1_interval": 1, "path_interval": 1}
    list(train_generator(tiny(3, **chosen), pictures(), tmp_path / "whole"))
    given = inject(dict.fromkeys(range(3, 40), phase))
    with pytest.raises(RunError, match="10 steps in a row were not finite, up to step 12; the"):
        list(train_generator(tiny(40, **chosen), pictures(), tmp_path / "bad"))
    assert given == {phase: 10}
    assert Checkpoints(tmp_path / "bad").steps() == [2, 3]
    learned = [weights(tmp_path / name) for name in ("whole", "bad")]
    assert all(state.pop("session")["bad_steps"] == 0 for state in learned)
    assert same(*learned)
    assert read_json(tmp_path / "bad" / "run.json")["stopped"] is None
