"""Trials from prepared clips, whose colours tell person, clip and frame."""

import pytest
import torch
from made_clips import make_clips

from xfer import evaluate as ev
from xfer.datasets.clips import Clips
from xfer.errors import BadValue
from xfer.evaluate.sets import Reference


def colours(images):
    """Person, clip and frame of every picture."""
    return ((images[:, :, 0, 0] + 1) * 127.5).round().int()


@pytest.mark.parametrize("frames", [2, 3])
def test_in_self_mode_another_frame_of_the_clip_drives_and_is_the_truth(tmp_path, frames):
    clips = Clips(make_clips(tmp_path / "clips", people=3, frames=frames))
    trials = ev.clip_trials(clips, per_person=8, mode="self")
    driver, reference = colours(trials.driver.picture), colours(trials.driver.reference)
    identity = colours(trials.identity)
    assert torch.equal(trials.driver.truth, trials.driver.picture)
    assert torch.equal(driver[:, :2], identity[:, :2])
    assert torch.equal(driver[:, :2], reference[:, :2])
    assert (driver[:, 2] != identity[:, 2]).all() and (driver[:, 2] != reference[:, 2]).all()
    assert (reference[:, 2] != identity[:, 2]).all() == (frames > 2)
    assert identity[:, 0].tolist() == trials.people.tolist() == sorted([0, 1, 2] * 8)
    assert trials.givers.tolist() == trials.people.tolist()


def test_in_cross_mode_another_person_drives_and_the_truth_is_not_known(tmp_path):
    clips = Clips(make_clips(tmp_path / "clips", people=3))
    trials = ev.clip_trials(clips, per_person=8)
    driver, reference = colours(trials.driver.picture), colours(trials.driver.reference)
    assert trials.driver.truth is None
    assert (driver[:, 0] != colours(trials.identity)[:, 0]).all()
    assert trials.givers.tolist() == driver[:, 0].tolist()
    assert torch.equal(driver[:, :2], reference[:, :2])
    assert (driver[:, 2] != reference[:, 2]).all()
    assert torch.equal(ev.clip_trials(clips, 8).identity, trials.identity)


def test_single_frames_drive_others_but_not_themselves(tmp_path):
    clips = Clips(make_clips(tmp_path / "clips", frames=1))
    trials = ev.clip_trials(clips, per_person=1)
    assert torch.equal(trials.driver.picture, trials.driver.reference)
    with pytest.raises(BadValue, match="two people at least; got 0"):
        ev.clip_trials(clips, mode="self")


def test_halves_of_a_set_of_clips_show_other_people(tmp_path):
    """Reds of 0 and 1, and of 2 and 3: means lie two apart, and spreads agree."""
    clips = Clips(make_clips(tmp_path / "clips", people=4, clips=1, frames=1))
    trials = ev.clip_trials(clips, per_person=40)
    red = lambda image: [(image[:, :1] + 1) * 127.5]
    judge = ev.Judge((), lambda image: (image, image), lambda image: image, red)
    assert Reference(judge, trials).facts["halves"] == pytest.approx(4, abs=0.4)
