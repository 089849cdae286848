"""Clips: one person and scene, motion that is smooth, alive and decided by the seed."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.faceworld.clips import FPS, draw_clip


@pytest.fixture(scope="module")
def minute():
    return draw_clip(60 * FPS, seed=4)


def test_the_same_seed_and_number_give_the_same_clip():
    a, b = draw_clip(40, 3, clip=2), draw_clip(40, 3, clip=2)
    assert torch.equal(a.motion.values, b.motion.values)
    other = draw_clip(40, 3, clip=1)
    assert not torch.equal(a.identity.values, other.identity.values)
    assert not torch.equal(a.motion.values, other.motion.values)


def test_a_longer_clip_begins_like_a_shorter_one():
    long, short = draw_clip(90, 5), draw_clip(30, 5)
    assert torch.equal(long.motion.values[:30], short.motion.values)


def test_person_and_scene_stay_the_same_within_a_clip(minute):
    assert (minute.identity.values == minute.identity.values[:1]).all()
    assert (minute.scene.values == minute.scene.values[:1]).all()


def test_the_head_turns_smoothly(minute):
    for name in ("yaw_deg", "pitch_deg", "roll_deg"):
        track = minute.motion[name]
        speed, jerk = track.diff().abs(), track.diff().diff().abs()
        assert track.std() > 1 and speed.max() < 8 and jerk.max() < 3, name
    for name in ("jaw", "smile", "pucker", "brow"):
        assert minute.motion[name].diff().abs().max() < 0.75, name


def test_a_minute_holds_blinks_speech_and_rests(minute):
    lids = minute.motion["blink_left"]
    blinks = ((lids[1:] > 0.5) & (lids[:-1] <= 0.5)).sum()
    assert 8 <= blinks <= 40
    jaw = minute.motion["jaw"]
    syllables = ((jaw[1:-1] > jaw[:-2]) & (jaw[1:-1] >= jaw[2:]) & (jaw[1:-1] > 0.1)).sum()
    assert 60 <= syllables <= 330
    assert 0.15 < (jaw < 0.02).float().mean() < 0.8


def test_a_clip_needs_a_frame():
    with pytest.raises(BadValue, match="at least one frame"):
        draw_clip(0, 1)
