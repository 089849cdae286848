"""What trainings learn from, by name: the right frames, at the right size, always the same ones."""

import numpy as np
import pandas as pd
import pytest
import torch
from made_clips import make_clips
from made_frames import make_frames

from xfer.datasets.layout import INDEX
from xfer.errors import BadValue, MissingFile
from xfer.training.latents import invert_frames
from xfer.training.sources import examples, open_frames, open_people, record_of
from xfer.training.transfer_clips import ClipCast
from xfer.training.world_frames import WorldFrames


@pytest.fixture
def folder(tmp_path):
    """Four people of two clips of five frames; the first person is in `val`."""
    return make_clips(tmp_path / "mine")


def rewrite(folder, change):
    """Change the index."""
    table = pd.read_parquet(folder / INDEX)
    change(table).to_parquet(folder / INDEX)
    return folder


def test_prepared_clips_are_read_at_the_trainings_size_from_their_train_split(folder, capsys):
    frames = open_frames(folder, 16, seed=3)
    pictures = frames.at(list(range(30)))
    assert pictures.shape == (30, 3, 16, 16)
    people = ((pictures[:, 0, 0, 0] + 1) * 127.5).round()
    assert people.unique().tolist() == [1, 2, 3], "the person in `val` is not learned from"
    again = open_frames(folder, 16, seed=3)
    assert torch.equal(again.at([31, 7]), frames.at([31, 7]))
    assert not torch.equal(open_frames(folder, 16, seed=4).at(list(range(30))), pictures)
    assert capsys.readouterr().err.count("8 px; they are brought to 16 px") == 1
    assert open_frames(folder, 8).resolution == 8
    assert capsys.readouterr().err == ""


def test_without_a_train_split_all_is_learned_from(folder):
    rewrite(folder, lambda table: table.assign(split="test"))
    assert len(open_people(folder, 8)) == 40
    assert record_of(folder)["split"] is None


def test_partners_share_a_clip_and_strangers_are_other_people(folder):
    frames = open_people(folder, 8, seed=1)
    cast, names = ClipCast(frames), frames.clips.index
    for step in range(30):
        for driver, identity, other in zip(*cast.items(step, 4), strict=True):
            assert driver != identity and names["clip"][driver] == names["clip"][identity]
            assert names["person"][driver] != names["person"][other]
    assert ClipCast(open_people(folder, 8, seed=1)).items(7, 4) == cast.items(7, 4)
    first, second = (cast.items(step, 4).other for step in (0, 1))
    assert first + second == cast.items(0, 8).other, "an order does not depend on the batch"


def test_a_frame_alone_in_its_clip_drives_nobody(folder):
    alone = lambda table: table[(table["person"] != "p3") | (table["frame"] == 0)]
    rewrite(folder, alone)
    frames = open_people(folder, 8)
    items = ClipCast(frames).items(0, 60)
    people = frames.clips.index["person"].to_numpy()
    assert set(people[items.driver]) == {"p1", "p2"}
    assert set(people[items.other]) == {"p1", "p2", "p3"}


def test_one_person_teaches_no_transfer(folder):
    rewrite(folder, lambda table: table[table["person"] < "p2"])
    with pytest.raises(BadValue, match=r"shows 1 person to learn from; .* four people"):
        ClipCast(open_people(folder, 8))


def test_the_endless_world_is_a_function_of_position_and_seed(monkeypatch):
    monkeypatch.setattr("xfer.datasets.world.compiler", lambda: None)
    world = open_frames("world", 16, seed=2)
    assert torch.equal(open_frames("world:studio", 16, seed=2).at([5]), world.at([4, 5])[1:])
    assert not torch.equal(open_frames("world:wild", 16, seed=2).at([5]), world.at([5]))
    assert torch.equal(examples(world, 3), world.at([0, 1, 2]))
    with pytest.raises(BadValue, match="world:studio or world:wild; got world:mars"):
        open_frames("world:mars", 16)
    with pytest.raises(BadValue, match="--scenes person"):
        open_people("world", 16)


def test_examples_of_a_fixed_set_come_from_all_over_it(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(33, dtype=np.uint8).repeat(48).reshape(33, 4, 4, 3))
    shown = examples(open_frames(tmp_path / "a.npy", 4))
    assert ((shown[:, 0, 0, 0] + 1) * 127.5).round().tolist() == list(range(0, 33, 3))


def test_what_cannot_be_learned_from_is_said_with_the_way_out(folder, tmp_path):
    with pytest.raises(BadValue, match=r"truth that is needed here; name world frames"):
        WorldFrames(folder)
    with pytest.raises(BadValue, match="16 px; the generator draws 32 px"):
        open_people(make_frames(tmp_path / "frames"), 32)
    (folder / INDEX).unlink()
    with pytest.raises(MissingFile, match=r"not complete .*`xfer prepare merge"):
        open_frames(folder, 8)
    with pytest.raises(MissingFile):
        invert_frames(tmp_path, tmp_path / "no.safetensors", tmp_path / "no.safetensors")
