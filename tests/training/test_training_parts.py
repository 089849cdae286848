"""The parts of every training loop: randomness, order, checkpoints, settings, processes."""

import dataclasses
import os
import time

import numpy as np
import pytest
import torch
from tiny_loops import LOOPS

from xfer.errors import BadFile, BadValue, RunError
from xfer.runs import Progress, Run, read_json, read_stats
from xfer.training import session as sessions
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GENERATOR_PRESETS, parse_settings, preset
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.randomness import normal, sample_rngs
from xfer.training.session import Session, made_from, time_limit


def test_a_sample_s_noise_does_not_depend_on_who_holds_it():
    together = normal(sample_rngs(7, "z", 3, [0, 1, 2, 3]), 5)
    apart = torch.cat([normal(sample_rngs(7, "z", 3, [i]), 5) for i in (0, 1, 2, 3)])
    assert torch.equal(together, apart)
    assert not torch.equal(together, normal(sample_rngs(7, "z", 4, [0, 1, 2, 3]), 5))


def test_processes_share_a_batch_in_whole_groups():
    one = World().samples(16, 4)
    halves = [World(rank, 2).samples(16, 4) for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(one)
    # One process groups samples m, m+4, m+8, m+12; so does each of two with its own m.
    for half in halves:
        rows = torch.tensor(half).view(4, -1)
        assert (rows - rows[:1] == torch.tensor([[0], [4], [8], [12]])).all()
    with pytest.raises(BadValue, match="multiple of 8; got 12"):
        World(0, 2).samples(12, 4)


def frames(n=5, size=8):
    values = np.arange(n, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(values, (n, size, size, 3)).copy()


def test_every_epoch_shows_every_frame_once_in_an_order_of_its_own():
    source = FrameArray(frames(), seed=1)
    shown = [source.at([p])[0, 0, 0, 0].add(1).mul(127.5).round().int().item() for p in range(15)]
    epochs = [shown[i : i + 5] for i in (0, 5, 10)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]
    assert torch.equal(source.at([7, 2]), torch.cat([source.at([7]), source.at([2])]))


def test_frames_are_pictures_or_are_refused(tmp_path):
    with pytest.raises(BadValue, match="uint8"):
        FrameArray(np.zeros((2, 8, 8, 3), np.float32))
    (tmp_path / "a.npy").write_bytes(b"nonsense")
    with pytest.raises(BadFile, match=r"should be a \.npy array"):
        FrameArray(tmp_path / "a.npy")


def test_a_damaged_newest_checkpoint_falls_back_and_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"x": torch.full((3,), float(step))})
    newest = tmp_path / "checkpoints" / "step_00000002.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    said = []
    step, state = checkpoints.load_latest(said.append)
    assert step == 1 and state["x"][0] == 1
    assert "step_00000002.pt is damaged" in said[0]


def test_old_checkpoints_go_and_the_best_stays(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, score in ((1, 5.0), (2, 1.0), (3, 4.0), (4, 3.0), (5, 2.0)):
        checkpoints.save(step, {}, score)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best() == {"step": 2, "score": 1.0}


def test_the_best_generator_is_the_one_that_redraws_best_and_a_game_alone_has_none(tmp_path):
    records = list(LOOPS["anchored generator"](tmp_path / "anchored", 5, ()))
    errors = {record["step"]: record["l2"] for record in records}
    best = min(errors, key=errors.get)
    assert Checkpoints(tmp_path / "anchored").best() == {"step": best, "score": errors[best]}
    assert best in Checkpoints(tmp_path / "anchored").steps()
    list(LOOPS["generator"](tmp_path / "plain", 2, ()))
    assert Checkpoints(tmp_path / "plain").best() is None


def test_a_checkpoint_cut_short_does_not_count_and_is_swept_away(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {})
    orphan = tmp_path / "checkpoints" / "step_00000002.pt"
    orphan.write_bytes(b"half")
    assert checkpoints.load_latest()[0] == 1
    checkpoints.save(3, {})
    assert not orphan.exists()
    assert not [name for name in os.listdir(tmp_path / "checkpoints") if name.endswith(".part")]


def test_settings_reach_inside_and_keep_their_kind():
    changes = parse_settings(["batch=8", "generator.w_dim=32", "flip=true", "total_kimg=3"])
    config = preset(GENERATOR_PRESETS, "nano", **changes)
    assert (config.batch, config.generator.w_dim, config.flip) == (8, 32, True)
    assert config.total_kimg == 3.0 and isinstance(config.total_kimg, float)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("bacth=8", "did you mean 'batch'"),
        ("generator.w_dimm=8", "did you mean 'generator.w_dim'"),
        ("batch=eight", "batch is like 16; got 'eight'"),
        ("batch=1.5", "batch is like 16; got 1.5"),
        ("generator=8", "is a group of settings"),
        ("batch", "key=value"),
        ("half=float8", "half is none"),
        ("total_kimg=-1", "total_kimg is above 0; got -1"),
        ("save_kimg=0", "save_kimg is above 0; got 0"),
        ("r1_interval=-3", "r1_interval is at least 0; got -3"),
        ("game_interval=0", "game_interval is at least 1; got 0"),
    ],
)
def test_a_wrong_setting_is_named_with_the_nearest_right_one(setting, message):
    with pytest.raises(BadValue, match=message):
        preset(GENERATOR_PRESETS, "nano", **parse_settings([setting]))


def test_records_are_shown_on_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    parameter = torch.nn.Parameter(torch.ones(1))
    network = torch.nn.ParameterDict({"x": parameter})
    optimiser = torch.optim.SGD([parameter], lr=0.1)
    config = dataclasses.replace(
        GENERATOR_PRESETS["nano"], batch=1000, total_kimg=2.0, tick_kimg=1.0, save_kimg=2.0
    )
    with Session(tmp_path, config, {"network": network}, World()) as session:
        for _ in session.steps():
            session.update(optimiser, network, parameter.square().sum())
            session.count(loss=parameter.detach())
            session.tick()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    lines = read_stats(tmp_path)
    assert [e.step for e in events.Scalars("loss")] == [1000, 2000]
    assert [e.value for e in events.Scalars("loss")] == pytest.approx([r["loss"] for r in lines])


def test_a_resumed_run_takes_the_rates_that_are_asked_for_now(tmp_path):
    config = dataclasses.replace(
        GENERATOR_PRESETS["nano"], batch=1000, total_kimg=1.0, tick_kimg=1.0, save_kimg=1.0
    )
    for total, rate, beta1 in ((1.0, 0.1, 0.0), (2.0, 0.01, 0.5)):
        network = torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.ones(1))})
        optimiser = torch.optim.Adam(network.parameters(), lr=rate, betas=(beta1, 0.99))
        config = dataclasses.replace(config, total_kimg=total)
        state = {"network": network, "optimiser": optimiser}
        with Session(tmp_path, config, state, World()) as session:
            for _ in session.steps():
                session.update(optimiser, network, network["x"].square().sum())
                session.tick()
    assert optimiser.param_groups[0]["lr"] == 0.01
    assert optimiser.param_groups[0]["betas"] == (0.5, 0.99)
    assert float(network["x"].detach()) == pytest.approx(1 - 0.1 - 0.01, abs=0.005)


def begin(folder, network=None, **changes):
    """A run of one step with a checkpoint, or the same run going on with other settings."""
    config = preset(GENERATOR_PRESETS, "nano", **{"total_kimg": 0.016} | changes)
    network = network or torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.ones(1))})
    with Session(folder, config, {"network": network}, World()) as session:
        for _ in session.steps():
            session.tick()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"batch": 4}, "batch was 16, not 4; go on with --set batch=16, or choose another folder"),
        ({"seed": 1}, "seed was 0, not 1; go on with --set seed=0"),
        ({"generator.w_dim": 32}, r"generator\.w_dim was 64, not 32"),
    ],
)
def test_a_run_keeps_its_networks_its_batch_and_its_seed(tmp_path, change, told):
    begin(tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RunError, match=told):
        begin(tmp_path, **change)
    assert (tmp_path / "run.json").read_bytes() == before
    begin(tmp_path)  # and the folder is free again


def test_a_run_takes_other_settings_and_notes_them(tmp_path):
    begin(tmp_path)
    begin(tmp_path, learning_rate=1e-3, total_kimg=0.032, **{"generator.conv_clamp": 256.0})
    assert read_json(tmp_path / "run.json")["resumed"][0]["changes"] == {
        "generator.conv_clamp": [None, 256.0],
        "learning_rate": [2e-3, 1e-3],
        "total_kimg": [0.016, 0.032],
    }


def test_a_run_keeps_the_weights_that_it_began_with(tmp_path):
    of = lambda sha, frames="a": {"generator": f"g.safetensors, sha256 {sha}", "frames": frames}
    with made_from(of("aa")):
        begin(tmp_path)
    with made_from(of("bb")), pytest.raises(RunError, match=r"generator was .*aa, not .*bb; name"):
        begin(tmp_path)
    assert read_json(tmp_path / "run.json")["inputs"] == of("aa")
    moved = of("aa", "b") | {"generator": "elsewhere.safetensors, sha256 aa"}
    with made_from(moved):
        begin(tmp_path)
    record = read_json(tmp_path / "run.json")
    assert record["resumed"][0]["changes"]["frames"] == ["a", "b"]
    begin(tmp_path)  # by a caller who names nothing
    assert read_json(tmp_path / "run.json")["inputs"] == moved


def test_networks_that_do_not_fit_a_checkpoint_are_told_with_the_settings_that_changed(tmp_path):
    begin(tmp_path)
    other = torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.ones(2))})
    with pytest.raises(RunError, match="another network than is asked for: critic was plain"):
        begin(tmp_path, other, critic="normed")
    assert read_json(tmp_path / "run.json")["config"]["critic"] == "plain"


def test_a_run_without_a_checkpoint_may_change_anything(tmp_path):
    """As after a first step that did not fit into memory."""
    Run(tmp_path, GENERATOR_PRESETS["nano"], 0).close()
    begin(tmp_path, batch=8)
    assert read_json(tmp_path / "run.json")["config"]["batch"] == 8


def test_what_is_left_of_a_run_is_what_is_left_of_its_time(tmp_path, monkeypatch):
    shown = []

    class Kept(Progress):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            shown.append(self)

    monkeypatch.setattr(sessions, "Progress", Kept)
    config = preset(GENERATOR_PRESETS, "nano", batch=10, total_kimg=1e6)
    for hours, most in ((None, float("inf")), (60 / 3600, 60.0)):
        with time_limit(hours), Session(tmp_path / str(hours), config, {}, World()) as session:
            for step in session.steps():
                time.sleep(0.001)
                if step == 2:
                    break
        assert 0 < shown[-1].left() <= most
    assert shown[0].left() > 1e4  # seconds, for a hundred million steps
