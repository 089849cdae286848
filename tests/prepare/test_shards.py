"""Splits and groups: no person in two splits, every input in one shard."""

import numpy as np

from xfer.prepare.shards import groups_of, split_people
from xfer.prepare.sources import Input

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def test_shares_are_met_and_everybody_has_one_split():
    people = [f"id{number:05d}" for number in range(1000)]
    splits = split_people(people, SHARES)
    counts = {name: sum(split == name for split in splits.values()) for name in SHARES}
    assert counts == {"train": 800, "val": 100, "test": 100}
    assert list(splits) == people


def test_a_split_does_not_depend_on_the_order_of_names():
    people = [f"p{number}" for number in range(40)]
    mixed = list(np.random.default_rng(0).permutation(people))
    assert split_people(people, SHARES) == split_people(mixed, SHARES)


def test_few_people_fill_the_training_split_first():
    assert sorted(split_people(["a"], SHARES).values()) == ["train"]
    assert sorted(split_people(["a", "b"], SHARES).values()) == ["train", "val"]
    assert sorted(split_people(["a", "b", "c"], SHARES).values()) == ["test", "train", "val"]
    assert set(split_people(["a", "b"], {"train": 1.0, "val": 0.0}).values()) == {"train"}


def test_groups_hold_so_many_clips_or_64_times_so_many_pictures():
    clips = [Input(n, "", "video", "", "") for n in range(7)]
    assert [len(group) for group in groups_of(clips, 3)] == [3, 3, 1]
    album = [Input(n, "", "picture", "", "") for n in range(200)]
    assert [len(group) for group in groups_of(album, 1)] == [64, 64, 64, 8]
    assert groups_of(clips, 100) == [clips]
