"""Failures by kind and case, on a table whose answers are plain."""

import numpy as np
import pandas as pd
import pytest

from xfer.errors import BadValue
from xfer.evaluate.failures import best_and_worst, hair_kinds, metric_by, yaw_kinds
from xfer.evaluate.trials import world_trials


def table(values, people=None):
    found = pd.DataFrame(
        {"method": "ours", "trial": range(len(values)), "metric": "error", "value": values}
    )
    found.attrs = {"people": people or list(range(len(values)))}
    return found


def test_means_by_kind_are_those_of_its_trials():
    found = metric_by(table([1.0, 3.0, 10.0, 20.0]), "ours", "error", ["a", "a", "b", "b"])
    assert found["kind"].tolist() == ["a", "b"] and found["n"].tolist() == [2, 2]
    assert found["value"].tolist() == [2.0, 15.0]
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def test_a_trial_without_a_number_counts_nowhere():
    found = metric_by(table([1.0, np.nan, 5.0]), "ours", "error", ["a", "a", "b"])
    assert found["n"].tolist() == [1, 1] and found["value"].tolist() == [1.0, 5.0]


def test_poses_are_sorted_by_how_far_the_head_is_turned_to_either_side():
    kinds = yaw_kinds(np.array([0.0, -12.0, 25.0, -45.0]))
    assert kinds == ["yaw 0-10", "yaw 10-20", "yaw 20-30", "yaw over 30"]


def test_best_come_first_and_nobody_is_both():
    assert best_and_worst(table([3.0, 1.0, 2.0, 9.0, 8.0]), "ours", "error", 2) == [1, 2, 4, 3]
    assert best_and_worst(table([3.0, 1.0, 2.0]), "ours", "error", 6) == [1, 0]


def test_unknown_methods_metrics_and_kinds_are_named():
    with pytest.raises(BadValue, match="no 'yaw' of 'ours'"):
        metric_by(table([1.0]), "ours", "yaw", ["a"])
    with pytest.raises(BadValue, match="every trial has a kind; got 1 for 2"):
        metric_by(table([1.0, 2.0]), "ours", "error", ["a"])


def test_every_trial_of_the_face_world_knows_its_identitys_hair():
    trials = world_trials(2, 2, 32, seed=3)
    kinds = hair_kinds(trials)
    assert len(kinds) == 4 and kinds[0] == kinds[1] and kinds[2] == kinds[3]
    assert hair_kinds(trials.index([3])) == [kinds[3]]
