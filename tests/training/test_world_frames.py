"""Rendered training sets: complete or resumable, with the truth beside every frame."""

import json

import numpy as np
import pytest
import torch

from xfer.errors import MissingFile, RunError
from xfer.training import world_frames
from xfer.training.world_frames import WorldFrames, draw_frames, render_frames

ASK = {"people": 3, "frames": 2, "size": 16, "seed": 5, "batch": 2, "compiled": False}


def test_a_set_holds_each_person_s_frames_with_their_factors(tmp_path):
    render_frames(tmp_path, **ASK)
    frames = WorldFrames(tmp_path)
    assert len(frames) == 6 and frames.resolution == 16
    assert frames.table.person.tolist() == [0, 0, 1, 1, 2, 2]
    truth = draw_frames(3, 2, 5, "studio")
    assert torch.equal(frames.factors(["yaw_deg"])[:, 0], truth.motion["yaw_deg"])
    assert frames.landmarks.shape == (6, 136) and frames.landmarks.abs().max() < 1.5
    assert frames.at([0]).shape == (1, 3, 16, 16)


def test_an_interrupted_rendering_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(world_frames, "CHUNK", 2)
    render_frames(tmp_path / "whole", **ASK)
    calls, real = [], world_frames.render

    def failing(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(world_frames, "render", failing)
    with pytest.raises(KeyboardInterrupt):
        render_frames(tmp_path / "broken", **ASK)
    with pytest.raises(MissingFile, match="no complete set"):
        WorldFrames(tmp_path / "broken")
    render_frames(tmp_path / "broken", **ASK)
    assert len(calls) == 4  # one good, one failed, the two that were left
    for name in ("frames.npy", "frames.parquet"):
        whole, broken = ((tmp_path / part / name).read_bytes() for part in ("whole", "broken"))
        assert whole == broken
    assert not np.array_equal(*(WorldFrames(tmp_path / "whole").frames[i] for i in (0, 1)))


def test_a_rendering_killed_before_its_record_gets_it_later(tmp_path, monkeypatch):
    render_frames(tmp_path / "whole", **ASK)
    with monkeypatch.context() as patch:
        patch.setattr(world_frames, "environment", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            render_frames(tmp_path / "broken", **ASK)
    assert not (tmp_path / "broken" / "frames.json").exists()
    with pytest.raises(RunError, match="holds other frames"):
        render_frames(tmp_path / "broken", **ASK | {"seed": 6})
    render_frames(tmp_path / "broken", **ASK)
    names = sorted(path.name for path in (tmp_path / "broken").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert WorldFrames(tmp_path / "broken").landmarks.shape == (6, 136)


def test_a_folder_with_other_frames_is_not_touched(tmp_path):
    render_frames(tmp_path, **ASK)
    with pytest.raises(RunError, match="holds other frames"):
        render_frames(tmp_path, **ASK | {"seed": 6})


def test_people_may_keep_one_scene_while_they_move():
    drawn = draw_frames(3, 2, 5, "studio", "person")
    identity, motion, scene = (group.values.unflatten(0, (3, 2)) for group in drawn.groups)
    assert torch.equal(identity[:, 0], identity[:, 1]) and torch.equal(scene[:, 0], scene[:, 1])
    assert (motion[:, 0] != motion[:, 1]).any(1).all() and not torch.equal(scene[0], scene[1])
    changing = draw_frames(3, 2, 5, "studio").scene.values
    assert (changing[0] != changing[1]).any()


def test_a_record_that_does_not_say_counts_as_a_scene_for_every_frame(tmp_path):
    render_frames(tmp_path, **ASK)
    record = json.loads((tmp_path / "frames.json").read_text())
    assert record.pop("scenes") == "frame"
    (tmp_path / "frames.json").write_text(json.dumps(record))
    render_frames(tmp_path, **ASK)
    with pytest.raises(RunError, match="scenes frame"):
        render_frames(tmp_path, **ASK, scenes="person")
