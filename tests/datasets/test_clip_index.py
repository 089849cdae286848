"""Any frame by its number, exactly as it was written; what is wrong is said."""

import pickle

import pytest
import torch
from made_clips import make_clips

from xfer.datasets.clips import Clips
from xfer.errors import BadFile, BadValue, MissingFile


@pytest.fixture
def folder(tmp_path):
    return make_clips(tmp_path / "set")


def told(pictures):
    """Person, clip and frame that pictures tell."""
    return ((pictures[:, :, 0, 0] + 1) * 127.5).round().long().tolist()


def test_frames_are_read_in_any_order(folder):
    clips = Clips(folder)
    assert len(clips) == 40 and clips.resolution == 8
    items = [39, 0, 17, 0]
    assert told(clips.pictures(items)) == [[3, 1, 4], [0, 0, 0], [1, 1, 2], [0, 0, 0]]
    assert clips.pixels([5]).shape == (1, 8, 8, 3)
    assert torch.equal(clips.landmarks([39, 0])[:, 5, 1], torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(clips.columns([4, 1], ["jaw"]), torch.tensor([[0.4], [0.1]]))


def test_a_split_holds_its_people_only_and_flagged_frames_can_be_left_out(folder):
    train = Clips(folder, "train")
    assert {person for person, *_ in told(train.pictures(range(len(train))))} == {1, 2, 3}
    sharp = Clips(folder, "val", without=["is_blurred"])
    assert {frame for *_, frame in told(sharp.pictures(range(len(sharp))))} == {1, 2, 3, 4}


def test_items_are_found_by_person_and_clip(folder):
    clips = Clips(folder, "train")
    assert {name: len(items) for name, items in clips.items_by("person").items()} == {
        "p1": 10, "p2": 10, "p3": 10,
    }  # fmt: skip
    assert clips.items_by("clip")["p1/c1"].tolist() == [5, 6, 7, 8, 9]


def test_another_process_opens_its_own_files(folder):
    clips = Clips(folder)
    clips.pictures([0])
    copy = pickle.loads(pickle.dumps(clips))
    assert told(copy.pictures([7])) == [[0, 1, 2]]


def test_what_is_wrong_is_one_clear_error(folder, tmp_path):
    with pytest.raises(MissingFile, match="xfer prepare"):
        Clips(tmp_path)
    with pytest.raises(BadValue, match=r"splits \['train', 'val'\]; got 'x'"):
        Clips(folder, "x")
    with pytest.raises(BadValue, match="items go from 0 to 39; got 40"):
        Clips(folder).pictures([40])
    with pytest.raises(BadValue, match="has no smile"):
        Clips(folder).columns([0], ["smile"])
    shard = folder / "shards/000000.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[:200] + b"x" * 50 + data[250:])
    with pytest.raises(BadFile, match=r"000000\.tar, bytes"):
        clips = Clips(folder)
        clips.pictures(range(len(clips)))
    shard.unlink()
    with pytest.raises(MissingFile, match="prepare the folder again"):
        Clips(folder).pictures([0])
