"""Order and pairs: every item once an epoch, the right people together, exactly resumable."""

import itertools

import numpy as np
import pytest
import torch
from made_clips import make_clips

from xfer.datasets.batches import Batches
from xfer.datasets.clips import Clips
from xfer.datasets.sources import CrossPersonPairs, Frames, Order, SamePersonPairs
from xfer.datasets.world import RenderedFrames, RenderedPairs, World
from xfer.errors import BadValue


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return Clips(make_clips(tmp_path_factory.mktemp("made") / "set"))


def test_every_item_comes_once_an_epoch_and_epochs_differ():
    order = Order(50, seed=3)
    first, second = ([order[p] for p in range(e * 50, e * 50 + 50)] for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert [Order(50, seed=3)[p] for p in range(50)] == first
    assert [Order(50, seed=4)[p] for p in range(50)] != first
    assert Order(50, seed=3)[10**9] in range(50)


def test_same_person_pairs_show_another_frame_of_the_same_clip(clips):
    pairs = SamePersonPairs(clips, seed=1)
    items = pairs.items(range(200))
    for first, second in items:
        assert first != second
        assert clips.index["clip"][first] == clips.index["clip"][second]
    assert sorted(first for first, _ in items[:40]) == list(range(40))
    partners = {second for first, second in pairs.items(range(4000)) if first == 0}
    assert partners == {1, 2, 3, 4}, "every other frame of the clip serves as a partner"


def test_pairs_across_clips_stay_with_the_person(clips):
    items = SamePersonPairs(clips, seed=1, across_clips=True).items(range(400))
    people, names = clips.index["person"], clips.index["clip"]
    assert all(people[a] == people[b] and a != b for a, b in items)
    assert any(names[a] != names[b] for a, b in items)


def test_cross_person_pairs_never_show_the_same_person(clips):
    items = CrossPersonPairs(clips, seed=2).items(range(3000))
    people = clips.index["person"]
    assert all(people[a] != people[b] for a, b in items)
    seen = {(people[a], people[b]) for a, b in items}
    assert len(seen) == 4 * 3, "everybody meets everybody"
    frames = np.bincount([b for _, b in items], minlength=40)
    assert frames.min() > 40, "every frame serves as a partner"


def test_pairs_carry_pictures_items_and_people(clips):
    pairs = CrossPersonPairs(clips, seed=2).at([5, 6, 7])
    told = ((pairs.second[:, 0, 0, 0] + 1) * 127.5).round().long().tolist()
    assert [f"p{person}" for person in told] == pairs.second_people
    assert pairs.second_people == clips.index["person"][pairs.second_items].tolist()
    assert pairs.first.shape == pairs.second.shape == (3, 3, 8, 8)


def test_pairs_that_cannot_be_had_are_refused(tmp_path):
    alone = Clips(make_clips(tmp_path / "alone", people=1, clips=3, frames=1))
    with pytest.raises(BadValue, match="at least two frames"):
        SamePersonPairs(alone)
    with pytest.raises(BadValue, match="need two of them; got 1"):
        CrossPersonPairs(alone)


def take(batches, count):
    return [batch.clone() for batch in itertools.islice(batches, count)]


@pytest.mark.parametrize("workers", [0, 3])
def test_a_resumed_reader_goes_on_with_the_very_next_picture(clips, workers):
    whole = take(Batches(Frames(clips, 7), 6), 20)
    with Batches(Frames(clips, 7), 6, workers) as broken:
        begin = take(broken, 9)
        state = broken.state_dict()
    assert state == {"position": 54}
    with Batches(Frames(clips, 7), 6, workers) as resumed:
        take(resumed, 2)
        resumed.load_state_dict(state)
        rest = take(resumed, 11)
    assert all(torch.equal(a, b) for a, b in zip(begin + rest, whole, strict=True))


def test_processes_together_go_through_the_order_once(clips):
    source = Frames(clips, 7)
    ranks = [Batches(source, 2, rank=rank, ranks=3) for rank in range(3)]
    positions = [p for step in range(4) for reader in ranks for p in reader.positions(step)]
    assert positions == list(range(24))
    single = take(Batches(source, 6), 2)
    parts = [take(reader, 2) for reader in ranks]
    for step in range(2):
        assert torch.equal(torch.cat([part[step] for part in parts]), single[step])
    assert ranks[0].state_dict() == {"position": 12}


def test_a_position_that_no_batch_starts_at_is_refused(clips):
    with pytest.raises(BadValue, match=r"position 10 is not the start of a batch of 4"):
        Batches(Frames(clips), 4).load_state_dict({"position": 10})


def test_an_error_in_a_worker_reaches_the_reader(clips):
    class Broken:
        def at(self, positions):
            raise BadValue(f"nothing at {positions[0]}")

    with Batches(Broken(), 2, workers=2) as batches, pytest.raises(BadValue, match="nothing at 0"):
        next(batches)


def test_the_rendered_world_answers_like_prepared_clips():
    world = World(16, seed=5, people=3)
    frames = RenderedFrames(world)
    assert torch.equal(frames.at([4, 9])[1:], frames.at([9]))
    assert frames.at([4]).shape == (1, 3, 16, 16)
    with Batches(frames, 2) as batches:
        next(batches)
        state = batches.state_dict()
        expected = next(batches)
    again = Batches(frames, 2)
    again.load_state_dict(state)
    assert torch.equal(next(again), expected)


@pytest.mark.parametrize("people", [None, 5])
def test_rendered_pairs_show_one_person_or_two(people):
    world = World(
        16, seed=5, people=people, renderer=lambda *groups: torch.zeros(len(groups[0]), 3, 2, 2)
    )
    positions = list(range(60))
    same, cross = RenderedPairs(world), RenderedPairs(world, cross=True)
    first, second = same.factors(positions)
    assert torch.equal(first.identity.values, second.identity.values)
    assert torch.equal(first.scene.values, second.scene.values)
    assert (first.motion.values != second.motion.values).any(1).all()
    first, second = cross.factors(positions)
    assert (first.identity.values != second.identity.values).any(1).all()
    assert (first.scene.values != second.scene.values).any(1).all()
    pairs = cross.at(positions)
    assert all(a != b for a, b in zip(pairs.first_people, pairs.second_people, strict=True))
    assert len(set(pairs.first_people)) == (people or 60)
