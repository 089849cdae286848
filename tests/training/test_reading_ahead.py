"""Pictures read a step ahead: the same ones, the same errors, and no thread that stays."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from made_clips import make_clips

from xfer.datasets.clips import Clips
from xfer.datasets.sources import Frames
from xfer.datasets.world import RenderedFrames
from xfer.datasets.world import World as FaceWorld
from xfer.errors import BadFile, BadValue
from xfer.training.ahead import THREAD, Ahead, FramesAhead, RenderedAhead
from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.sources import open_frames, open_people
from xfer.training.train_generator import train_generator
from xfer.training.transfer_clips import ClipCast, PeopleCast, TransferClips

BATCH = 4


def in_flight():
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def wait():
    """Until nothing is read any more."""
    for thread in in_flight():
        thread.join(10)
    assert not in_flight()


@pytest.fixture(autouse=True)
def every_thread_ends():
    yield
    wait()


@pytest.fixture
def folder(tmp_path):
    """Four people of two clips of five frames of 8 px; the first person is in `val`."""
    return make_clips(tmp_path / "clips")


class Noted:
    """A function that notes what it was asked for and in which thread; some answers fail."""

    def __init__(self, give=lambda asked: asked, failing=()):
        self.give, self.failing, self.calls = give, failing, []

    def __call__(self, asked):
        self.calls.append((asked, threading.current_thread().name))
        if asked in self.failing:
            raise BadValue(f"nothing at {asked}")
        return self.give(asked)


def ahead(noted):
    return Ahead(noted, lambda step: step + 1)


def test_each_answer_but_the_first_is_there_before_it_is_asked_for():
    noted = Noted(lambda step: 10 * step)
    answer = ahead(noted)
    for step in range(5):
        assert answer(step) == 10 * step
    assert len(in_flight()) <= 1
    wait()
    here = threading.current_thread().name
    assert noted.calls == [(0, here), *((step, THREAD) for step in range(1, 6))]


def test_what_was_not_foreseen_is_answered_too():
    answer = ahead(Noted(lambda step: 10 * step))
    assert [answer(step) for step in (7, 8, 0, 9, 10, 10)] == [70, 80, 0, 90, 100, 100]


def test_an_error_is_raised_where_its_answer_is_asked_for_and_every_time():
    answer = ahead(Noted(failing={2, 3}))
    assert [answer(step) for step in (0, 1)] == [0, 1]
    for step in (2, 2, 3):
        with pytest.raises(BadValue, match=f"nothing at {step}"):
            answer(step)
    assert [answer(step) for step in (4, 5)] == [4, 5]


def test_an_error_that_nobody_asks_for_is_nobody_s(capsys):
    assert ahead(Noted(failing={1}))(0) == 0
    wait()
    assert capsys.readouterr().err == ""


def drawn(identity, motion, scene, size):
    """Not a face, but a picture of all factors."""
    values = torch.cat([group.values for group in (identity, motion, scene)], dim=1)
    return values.sum(1)[:, None, None, None].expand(-1, 3, size, size)


def step_by_step(frames, steps=range(6)):
    return torch.cat([frames.at([BATCH * step + i for i in range(BATCH)]) for step in steps])


def test_prepared_clips_and_the_endless_world_show_the_same_as_without(folder):
    clips, endless = Clips(folder), FaceWorld(16, seed=3, renderer=drawn)
    assert torch.equal(step_by_step(FramesAhead(clips, 3)), step_by_step(Frames(clips, 3)))
    assert torch.equal(step_by_step(RenderedAhead(endless)), step_by_step(RenderedFrames(endless)))
    later = step_by_step(RenderedAhead(endless), range(2, 6))
    assert torch.equal(later, step_by_step(RenderedAhead(endless))[2 * BATCH :])


@pytest.mark.parametrize("processes", [1, 2])
def test_each_process_reads_its_own_share_of_the_next_step(folder, processes):
    for rank in range(processes):
        samples = World(rank, processes).samples(8, group=2)
        frames = FramesAhead(Clips(folder), processes=processes)
        noted = frames._ahead._give = Noted(frames._ahead._give)
        for step in range(3):
            frames.at([8 * step + sample for sample in samples])
        wait()
        assert [asked for asked, _ in noted.calls] == [
            [8 * step + sample for sample in samples] for step in range(4)
        ]


def test_only_what_is_work_to_read_is_read_ahead(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("xfer.datasets.world.compiler", lambda: None)
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8, 3), np.uint8))
    kinds = [type(open_frames(name, 8)) for name in (folder, tmp_path / "a.npy", "world")]
    assert kinds == [FramesAhead, FrameArray, RenderedAhead]


def transfer_clips(folder, kind):
    if kind == "prepared":
        frames = open_people(folder, 8, seed=1)
        cast = ClipCast(frames)
    else:
        frames = FrameArray(np.random.default_rng(0).integers(0, 255, (30, 8, 8, 3), np.uint8))
        cast = PeopleCast(frames, np.arange(30) // 5)
    latents = np.random.default_rng(1).normal(size=(len(frames), 2, 3)).astype(np.float32)
    return TransferClips(frames, cast, latents)


@pytest.mark.parametrize(("kind", "most"), [("prepared", 1), ("array", 0)])
def test_a_transfer_s_steps_show_who_is_cast(folder, kind, most):
    clips, samples = transfer_clips(folder, kind), [3, 1]
    for step in (0, 1, 2, 5, 6):
        drawn = clips.draw(step, BATCH, torch.device("cpu"), samples)
        assert len(in_flight()) <= most
        driver, identity, other = ([c[i] for i in samples] for c in clips.items(step, BATCH))
        assert torch.equal(drawn.driver, clips.frames.pictures(driver))
        assert torch.equal(drawn.other_frame, clips.frames.pictures(other))
        assert torch.equal(drawn.identity, clips.codes(identity))
        assert torch.equal(drawn.other, clips.codes(other))
        assert torch.equal(drawn.driver_code, clips.codes(driver))


def tiny(steps):
    sizes = {
        f"{part}.{name}": value
        for part in ("generator", "discriminator")
        for name, value in (("resolution", 8), ("channel_base", 64), ("channel_max", 8))
    }
    sizes |= {"generator.z_dim": 8, "generator.w_dim": 8}
    chosen = preset(GENERATOR_PRESETS, "nano", batch=BATCH, half="none", **sizes)
    kimg = BATCH / 1000
    return dataclasses.replace(
        chosen, total_kimg=steps * kimg, tick_kimg=kimg, save_kimg=kimg, path_interval=2
    )  # fmt: skip


def weights(folder):
    state = Checkpoints(folder).load_latest()[1]
    return [value for part in ("ema", "discriminator") for value in state[part].values()]


def test_a_training_ends_as_without_reading_ahead_and_so_it_does_in_two_stays(folder, tmp_path):
    list(train_generator(tiny(7), Frames(Clips(folder), 0), tmp_path / "inline"))
    ahead = FramesAhead(Clips(folder), 0)
    list(train_generator(tiny(7), ahead, tmp_path / "whole"))
    for steps in (3, 7):
        list(train_generator(tiny(steps), ahead, tmp_path / "broken"))
    inline = weights(tmp_path / "inline")
    for name in ("whole", "broken"):
        assert all(map(torch.equal, weights(tmp_path / name), inline))


def test_a_damaged_picture_ends_a_training_at_its_step(folder, tmp_path):
    frames = open_frames(folder, 8)
    item = frames.items([13])[0]  # of the fourth step
    row = frames.clips.index.iloc[item]
    with open(folder / row["shard"], "r+b") as shard:
        shard.seek(row["offset"])
        shard.write(bytes(row["length"]))
    records = []
    with pytest.raises(BadFile, match=f"bytes {row['offset']} to"):
        for record in train_generator(tiny(7), frames, tmp_path / "run"):
            records.append(record["step"])
    assert records == [1, 2, 3] and Checkpoints(tmp_path / "run").steps()[-1] == 3


def test_a_training_left_in_the_middle_leaves_no_thread(folder, tmp_path):
    records = train_generator(tiny(7), open_frames(folder, 8), tmp_path)
    next(records)
    records.close()
    wait()
