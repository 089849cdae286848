"""Short clips whose motion is known, and the jitter of methods on them."""

import numpy as np
import pytest
import torch
from made_clips import make_clips

from xfer import evaluate as ev
from xfer.baselines import copy_driver, copy_identity, show_truth
from xfer.datasets.clips import Clips
from xfer.evaluate.sequences import clip_sequences, clips_for, steadiness, world_sequences
from xfer.metrics.transfer import eye_distances, jitter


@pytest.fixture(scope="module")
def sequences():
    return world_sequences(2, size=16, seed=3, compiled=False, frames=4)


def colours(images):
    """Person, clip and frame of every picture."""
    return ((images[:, :, 0, 0] + 1) * 127.5).round().int()


def judge_of(sequences):
    """Reads true points of the truths, and those of the first frame everywhere else."""
    truth, points = sequences.driver.truth, sequences.landmarks

    def read(image):
        apart = torch.cdist(image.flatten(1), truth.flatten(1))
        found = torch.where((apart.min(1).values < 1e-6)[:, None, None], points[apart.argmin(1)],
                            points[:1])  # fmt: skip
        return torch.zeros(len(image), 1), found

    return ev.Judge(("yaw_deg",), read, lambda image: image.flatten(1))


def test_a_clip_of_the_face_world_moves_smoothly_before_one_photo(sequences):
    assert sequences.people.tolist() == [0] * 4 + [1] * 4
    for start in (0, 4):
        photos = sequences.identity[start : start + 4]
        assert torch.equal(photos, photos[:1].expand_as(photos))
    yaw = sequences.motion["yaw_deg"].view(2, 4)
    assert 0 < yaw.diff(dim=1).abs().max() < 5
    assert not torch.equal(sequences.driver.picture, sequences.driver.truth)
    again = world_sequences(2, size=16, seed=3, compiled=False, frames=4)
    assert torch.equal(again.driver.truth, sequences.driver.truth)


def test_in_self_mode_the_driver_of_a_clip_is_the_truth():
    asked = world_sequences(1, size=16, seed=3, mode="self", compiled=False, frames=3)
    assert torch.equal(asked.driver.picture, asked.driver.truth)


def test_a_photo_has_no_jitter_and_the_truth_has_its_points_own(sequences):
    methods = {"photo": copy_identity, "truth": show_truth, "driver": copy_driver}
    table = steadiness(methods, sequences, judge_of(sequences))
    value = table.set_index(["method", "metric", "trial"])["value"].sort_index()
    assert (value["photo"] == 0).all()
    eyes = float(eye_distances(sequences.landmarks[:1].numpy())[0])
    points = sequences.landmarks.numpy().reshape(2, 4, 68, 2) / eyes
    assert value["truth", "jitter"].tolist() == pytest.approx([jitter(clip) for clip in points])
    assert table.attrs["true_jitter"] == pytest.approx(value["truth", "jitter"].mean())
    pictures = sequences.driver.picture.numpy()
    assert value["driver", "jitter_pixels", 1] == pytest.approx(jitter(pictures[4:]))
    summary = ev.summarise(table).set_index(["method", "metric"])
    assert summary.loc[("truth", "jitter"), "n"] == 2
    assert "true_jitter" not in steadiness(
        methods, clip_like(sequences), judge_of(sequences)
    ).attrs  # fmt: skip


def clip_like(sequences):
    from dataclasses import replace

    return replace(sequences, landmarks=None, face=None, motion=None)


@pytest.mark.parametrize("mode", ["self", "cross"])
def test_frames_of_prepared_clips_follow_each_other(tmp_path, mode):
    clips = Clips(make_clips(tmp_path / "clips", people=3, frames=5))
    asked = clip_sequences(clips, 2, mode=mode, frames=4)
    driver, identity = colours(asked.driver.picture), colours(asked.identity)
    assert asked.people.tolist() == [0] * 4 + [1] * 4
    for i in range(2):
        own = driver[asked.people == i]
        assert len(own[:, :2].unique(dim=0)) == 1 and own[:, 2].diff().eq(1).all()
        photo = identity[asked.people == i]
        assert len(photo.unique(dim=0)) == 1
        assert (photo[0, 0] == own[0, 0]) == (mode == "self")
        reference = colours(asked.driver.reference)[asked.people == i]
        assert torch.equal(reference[0, :2], own[0, :2])
        assert reference[0, 2] not in own[:, 2]
    assert (asked.driver.truth is None) == (mode == "cross")


def test_frames_that_do_not_follow_each_other_are_no_clip(tmp_path):
    clips = Clips(make_clips(tmp_path / "clips", people=2, frames=5))
    clips.index["frame"] *= 2
    assert clip_sequences(clips, 2) is None
    # Three frames in a row of the second clip of the first person only.
    clips.index.loc[5:7, "frame"] = [17, 18, 19]
    asked = clip_sequences(clips, 2)
    assert colours(asked.driver.picture).tolist() == [[0, 1, 0], [0, 1, 1], [0, 1, 2]]


def test_clips_stay_a_small_part_of_an_evaluation():
    assert [clips_for(n) for n in (2, 80, 200, 400)] == [3, 3, 6, 12]
    assert np.all(np.diff([clips_for(n) for n in range(500)]) >= 0)
