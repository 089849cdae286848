"""Factors: names, ranges, and draws that depend on the seed alone."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.faceworld.factors import (
    GROUPS,
    Factors,
    draw_factors,
    draw_identity,
    draw_scene,
    seeded,
    sweep,
)


def test_the_same_seed_gives_the_same_factors():
    a, b = draw_factors(5, seed=3), draw_factors(5, seed=3)
    for one, other in zip(a.groups, b.groups, strict=True):
        assert torch.equal(one.values, other.values)
    assert not torch.equal(a.identity.values, draw_factors(5, seed=4).identity.values)


@pytest.mark.parametrize("preset", ["studio", "wild"])
def test_every_drawn_factor_lies_in_its_range(preset):
    factors = draw_factors(200, seed=1, preset=preset)
    for kind, group in zip(GROUPS, factors.groups, strict=True):
        for factor in GROUPS[kind]:
            column = group[factor.name]
            assert factor.low <= column.min() and column.max() <= factor.high, factor.name


def test_names_are_unique_over_all_groups():
    names = [factor.name for group in GROUPS.values() for factor in group]
    assert len(names) == len(set(names))


def test_poses_stay_within_the_asked_limits():
    motion = draw_factors(300, seed=2, yaw_deg=30, pitch_deg=5, roll_deg=0).motion
    assert motion["yaw_deg"].abs().max() <= 30 and motion["yaw_deg"].abs().max() > 25
    assert motion["pitch_deg"].abs().max() <= 5
    assert motion["roll_deg"].abs().max() == 0


def test_indexing_and_joining_undo_each_other():
    factors = draw_factors(4, seed=5)
    halves = [factors.index([0, 1]), factors.index(slice(2, 4))]
    joined = Factors.cat(halves)
    assert torch.equal(joined.motion.values, factors.motion.values)
    assert len(joined) == 4 and set(joined.columns) == set(factors.columns)


def test_replacing_a_factor_leaves_the_others_and_the_original():
    motion = draw_factors(3, seed=6).motion
    turned = motion.replace(yaw_deg=12.0)
    assert (turned["yaw_deg"] == 12).all()
    assert torch.equal(turned["pitch_deg"], motion["pitch_deg"])
    assert not (motion["yaw_deg"] == 12).any()


def test_studio_backgrounds_are_plain_and_the_camera_stands_still():
    scene = draw_scene(50, seeded(1), "studio")
    assert (scene["pattern_strength"] == 0).all() and (scene["shift_x"] == 0).all()


def test_an_unknown_factor_or_preset_is_named_in_the_error():
    with pytest.raises(BadValue, match="nose_colour"):
        draw_identity(1, seeded(1))["nose_colour"]
    with pytest.raises(BadValue, match="beach"):
        draw_scene(1, seeded(1), "beach")


def test_a_sweep_changes_one_factor_through_its_range():
    one = draw_factors(1, seed=7)
    row = sweep(one, "jaw", 5)
    assert row.motion["jaw"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert torch.equal(row.identity.values, one.identity.values.expand(5, -1))
    assert sweep(one, "yaw_deg", 3, low=-40.0).motion["yaw_deg"].tolist() == [-40, 0, 40]
    with pytest.raises(BadValue, match="nose_colour"):
        sweep(one, "nose_colour")
