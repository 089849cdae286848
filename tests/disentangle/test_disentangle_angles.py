"""Angles between motion and identity, in a model where they are built in."""

import numpy as np
import pytest
import torch

from tests.controls.linear_world import moving_model
from xfer.disentangle import angles
from xfer.disentangle.codes import Codes
from xfer.errors import BadValue

PEOPLE = np.repeat(np.arange(60), 5)
STYLES, WIDTH, BOTTLENECK = 6, 6, 5


def unit(i):
    return np.eye(STYLES * WIDTH)[i]


def model_that_moves_along(directions):
    """The paper's kind of mapper, so made that number i of h moves latents along direction i."""
    model = moving_model("affine")
    with torch.no_grad():
        weight, _ = model.motion_encoder.linear()
        drawn = torch.zeros(STYLES * WIDTH, BOTTLENECK)
        for i, direction in enumerate(directions):
            drawn[:, i] = torch.from_numpy(direction)
        model.mapper.weight[:, STYLES * WIDTH :] = drawn @ torch.linalg.pinv(weight)
    return model


def codes_that_differ_along(directions, seed=0, noise=0.3):
    """People differ along the directions, and each of their pictures in everything a little."""
    rng = np.random.default_rng(seed)
    scales = 5.0 - np.arange(len(directions))
    who = rng.standard_normal((60, len(directions))) * scales @ np.stack(directions)
    rows = who[PEOPLE] + noise * rng.standard_normal((len(PEOPLE), STYLES * WIDTH))
    identity = torch.from_numpy(rows).float().unflatten(1, (STYLES, WIDTH))
    h = torch.from_numpy(rng.standard_normal((len(PEOPLE), BOTTLENECK))).float()
    driver = np.roll(np.arange(len(PEOPLE)), 5)
    return Codes(h, identity, identity, identity, torch.zeros(len(PEOPLE), 2), driver)


def turned(first, second, degrees):
    return np.cos(np.deg2rad(degrees)) * first + np.sin(np.deg2rad(degrees)) * second


def of(table, pair):
    return table[table["pair"] == pair].sort_values("number")[["value", "low", "high"]].to_numpy()


MOVES = (unit(0), unit(1))
PEOPLE_30_AND_60 = (turned(unit(0), unit(2), 30), turned(unit(1), unit(3), 60))


def test_angles_that_were_built_in_are_found_within_their_intervals():
    model = model_that_moves_along(MOVES)
    held = 0
    for seed in range(10):
        table = angles.angle_table(
            model, codes_that_differ_along(PEOPLE_30_AND_60, seed), PEOPLE, count=2, draws=60
        )
        found = of(table, "motion and identity")
        assert found[:, 0] == pytest.approx([30, 60], abs=3)
        widths = found[:, 2] - found[:, 1]
        assert (widths > 0.1).all() and (widths < 6).all()
        held += int(((found[:, 1] < [30, 60]) & (found[:, 2] > [30, 60])).sum())
    assert held >= 17  # of 20 intervals, 19 are meant to hold


def test_fewer_people_give_wider_intervals():
    model = model_that_moves_along(MOVES)
    codes, some = codes_that_differ_along(PEOPLE_30_AND_60), slice(0, 75)
    few = Codes(*(x[some] for x in (codes.h, *[codes.identity] * 3, codes.style)), np.arange(75))
    wide, narrow = (
        of(angles.angle_table(model, own, people, count=2, draws=60), "motion and identity")
        for own, people in ((few, PEOPLE[some]), (codes, PEOPLE))
    )
    assert (wide[:, 2] - wide[:, 1] > narrow[:, 2] - narrow[:, 1]).all()


def test_controls_tell_the_same_space_and_spaces_that_share_nothing():
    model = model_that_moves_along(MOVES)
    table = angles.angle_table(model, codes_that_differ_along(MOVES), PEOPLE, count=2, draws=60)
    assert of(table, "identity, two halves")[:, 2].max() < 10
    assert of(table, "random")[:, 0].min() > 60
    assert of(table, "motion and identity")[:, 0].max() < 5
    assert table["low"].ge(0).all() and table["high"].le(90).all() and len(table) == 6


def test_every_kind_of_mapper_has_its_angles():
    model = moving_model("conditioned")
    codes = codes_that_differ_along(MOVES)
    table = angles.angle_table(model, codes, PEOPLE, count=3, draws=20)
    assert table["value"].between(0, 90).all() and len(table) == 9
    with pytest.raises(BadValue, match="four people"):
        angles.angle_table(model, codes, np.zeros(len(PEOPLE), int), count=3)
