"""Controls learned for a whole model and kept in its file."""

import numpy as np
import pandas as pd
import pytest
import torch
from made_clips import make_clips

from xfer import cli
from xfer.controls import Controls
from xfer.datasets.clips import Clips
from xfer.errors import BadValue
from xfer.files import read_checkpoint
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.model import Transfer
from xfer.reenact.studio import open_studio, untrained_model
from xfer.runs import write_json
from xfer.training import train_controls as recipe
from xfer.training.train_controls import landmark_reader, train_controls
from xfer.training.world_frames import WorldFrames, draw_frames

SLIM = {"channels": (8, 12), "blocks": (1, 1), "reduction": 4}


PEOPLE, FRAMES = 60, 2
TOLD = ("yaw_deg", "pitch_deg", "jaw")
"""What the landmarks below depend on."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A set of world frames without rendering: noise, and landmarks that follow three factors."""
    folder = tmp_path_factory.mktemp("world")
    factors = draw_frames(PEOPLE, FRAMES, 0, "studio").columns
    rng = np.random.default_rng(0)
    base, moves = rng.normal(size=136), 0.2 * rng.normal(size=(3, 136))
    told = np.stack([factors[name].numpy() for name in TOLD], 1)
    marks = base + (told / told.std(0)) @ moves
    table = {name: values.numpy() for name, values in factors.items()}
    table |= {"person": np.arange(PEOPLE * FRAMES) // FRAMES, "landmarks": list(np.float32(marks))}
    pd.DataFrame(table).to_parquet(folder / "frames.parquet")
    pixels = rng.integers(0, 256, (PEOPLE * FRAMES, 32, 32, 3), dtype=np.uint8)
    np.save(folder / "frames.npy", pixels)
    write_json(folder / "frames.json", {})
    return folder


def instruments(path, copy):
    torch.manual_seed(1)
    reader = FactorReader(FactorReaderConfig(resolution=16, hidden=8, **SLIM))
    recogniser = FaceRecogniser(FaceRecogniserConfig(resolution=16, embedding=8, **SLIM))
    return Instruments(reader.eval(), recogniser.eval(), copy, {}).save(path)


def test_a_model_gains_controls_and_stays_what_it_was(world, tmp_path):
    model = untrained_model()
    path = model.save(tmp_path / "plain.safetensors", {"licence": "MIT"})
    loss = instruments(tmp_path / "loss.safetensors", "loss")
    out = tmp_path / "controlled.safetensors"
    facts = train_controls(path, world, out, loss, pictures=80, people=3)
    assert set(facts["cross_talk"]) == set(Controls.load(out).names)
    studio = open_studio(out)
    assert studio.controls is not None and studio.of_the_face_world
    driver = torch.rand(1, 3, 32, 32)
    identity = model.random_identity(1)
    again = Transfer.load(out).transfer(driver, identity)
    torch.testing.assert_close(again, model.transfer(driver, identity))


def test_what_landmarks_follow_is_read_from_them_and_nothing_else(world):
    frames = WorldFrames(world)
    reader = landmark_reader(frames)
    assert set(reader.names) == set(TOLD)
    yaw = reader(frames.landmarks.unflatten(1, (68, 2)).float())[:, reader.names.index("yaw_deg")]
    assert (yaw - frames.factors(["yaw_deg"])[:, 0]).abs().mean() < 1


@pytest.fixture
def told_by_motions(monkeypatch):
    """Plain pictures do nothing that landmarks could tell: their motions are taken instead."""
    learn = recipe.learn_controls
    told = lambda h, readings, names: learn(h, h[:, : readings.shape[1]], names)
    monkeypatch.setattr(recipe, "learn_controls", told)


def test_controls_are_learned_from_no_more_than_the_split_of_trainings(
    world, tmp_path, monkeypatch, told_by_motions
):
    """Two hundred pictures, of which those of the person in `val` are not learned from."""
    folder, seen = make_clips(tmp_path / "clips", people=4, clips=5, frames=10), []
    read = Clips.pictures

    def noted(clips, items):
        seen.extend(clips.index["person"].iloc[list(items)])
        return read(clips, items)

    monkeypatch.setattr(Clips, "pictures", noted)
    path = untrained_model().save(tmp_path / "plain.safetensors")
    facts = train_controls(path, world, tmp_path / "o.safetensors", clips=folder, pictures=80)
    assert set(seen) == {"p1", "p2", "p3"} and facts["pictures"] == len(seen) == 75


def test_real_faces_give_no_cross_talk_that_nobody_measured(
    world, tmp_path, told_by_motions, capsys
):
    folder = make_clips(tmp_path / "clips", people=4, clips=5, frames=10)
    path = str(untrained_model().save(tmp_path / "plain.safetensors"))
    out = str(tmp_path / "o.safetensors")
    words = ["train", "controls", "--transfer", path, "--world", str(world), "--out", out,
             "--clips", str(folder), "--pictures", "80"]  # fmt: skip
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "not measured" in said and "+1.00" not in said
    assert "cross_talk" not in read_checkpoint(out).facts["controls"]
    assert Controls.load(out).cross_talk_table() == {}
    assert cli.main([*words, "--judge", "small-judges"]) == 2
    assert "leave it away with clips" in capsys.readouterr().err


def test_one_kind_of_pictures_is_named(world, tmp_path):
    with pytest.raises(BadValue, match="name one of the two"):
        train_controls("model", world, tmp_path / "o.safetensors")
