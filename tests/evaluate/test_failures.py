"""Failures by kind and case, on a table whose answers are plain."""

import numpy as np
import pandas as pd
import pytest

from xfer.baselines import copy_driver, copy_identity
from xfer.errors import BadValue
from xfer.evaluate.failures import (
    best_and_worst,
    by_kind,
    case_metric,
    hair_kinds,
    metric_by,
    pose_kinds,
    yaw_kinds,
)
from xfer.evaluate.sheets import cases_sheet
from xfer.evaluate.trials import world_trials
from xfer.pixels import to_uint8


def table(values, people=None, metric="error"):
    found = pd.DataFrame(
        {"method": "ours", "trial": range(len(values)), "metric": metric, "value": values}
    )
    found.attrs = {"people": people or list(range(len(values)))}
    return found


def test_means_by_kind_are_those_of_its_trials():
    found = metric_by(table([1.0, 3.0, 10.0, 20.0]), "ours", "error", ["a", "a", "b", "b"])
    assert found["kind"].tolist() == ["a", "b"] and found["n"].tolist() == [2, 2]
    assert found["value"].tolist() == [2.0, 15.0]
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def test_of_one_person_no_interval_is_known():
    found = metric_by(table([1.0, 3.0, 10.0], [0, 0, 1]), "ours", "error", ["a", "a", "b"])
    assert found["value"].tolist() == [2.0, 10.0] and found["people"].tolist() == [1, 1]
    assert found[["low", "high"]].isna().all(axis=None)


def test_a_trial_without_a_number_counts_nowhere():
    found = metric_by(table([1.0, np.nan, 5.0]), "ours", "error", ["a", "a", "b"])
    assert found["n"].tolist() == [1, 1] and found["value"].tolist() == [1.0, 5.0]


def test_poses_are_sorted_by_how_far_the_head_is_turned_to_either_side():
    kinds = yaw_kinds(np.array([0.0, -12.0, 25.0, -45.0]))
    assert kinds == ["yaw 0-10", "yaw 10-20", "yaw 20-30", "yaw over 30"]


def test_a_driver_whose_pose_nobody_could_read_is_of_no_known_pose():
    found = table([5.0, np.nan, -31.0], metric="yaw_deg_true")
    assert pose_kinds(found) == ["yaw 0-10", "yaw unknown", "yaw over 30"]


def test_what_is_known_of_every_kind_is_told_of_every_method():
    pose = table([1.0, 3.0, 10.0], metric="yaw_deg_error")
    person = table([0.1, 0.2, 0.3], metric="cosine_photo")
    both = pd.concat([pose, person, table([0.0, 0.0, 0.0]), pose.assign(method="theirs")])
    both.attrs = pose.attrs
    found = by_kind(both, ["ours", "theirs"], ["a", "a", "b"])
    assert list(found.columns) == [
        "method", "metric", "kind", "value", "low", "high", "n", "people",
    ]  # fmt: skip
    told = {tuple(row[:3]): row[3] for row in found.itertuples(index=False, name=None)}
    assert told == pytest.approx({
        ("ours", "yaw_deg_error", "a"): 2, ("ours", "yaw_deg_error", "b"): 10,
        ("ours", "cosine_photo", "a"): 0.15, ("ours", "cosine_photo", "b"): 0.3,
        ("theirs", "yaw_deg_error", "a"): 2, ("theirs", "yaw_deg_error", "b"): 10,
    })  # fmt: skip


def test_best_come_first_and_nobody_is_both():
    assert best_and_worst(table([3.0, 1.0, 2.0, 9.0, 8.0]), "ours", "error", 2) == [1, 2, 4, 3]
    assert best_and_worst(table([3.0, 1.0, 2.0]), "ours", "error", 6) == [1, 0]
    likeness = table([0.9, 0.1, 0.5, 0.7], metric="cosine_photo")
    assert best_and_worst(likeness, "ours", "cosine_photo", 2) == [0, 3, 2, 1]


def test_cases_are_told_by_nearness_to_the_truth_or_by_what_is_known():
    unread = table([np.nan, np.nan, 4.0], metric="yaw_deg_error")
    found = pd.concat([unread, table([0.1, 0.2, 0.3], metric="cosine_photo")])
    assert case_metric(found, "ours") == "cosine_photo"
    near = table([0.1, 0.2, 0.3], metric="perceptual_face")
    assert case_metric(pd.concat([found, near]), "ours") == "perceptual_face"
    with pytest.raises(BadValue, match="has none of perceptual_face"):
        case_metric(unread, "ours")


def test_the_sheet_of_cases_shows_the_best_first_beside_the_truth():
    trials = world_trials(2, 2, 16, seed=3, compiled=False)
    found = table([0.4, 0.1, 0.3, 0.2], trials.people.tolist(), "perceptual_face")
    methods = {"ours": copy_identity, "theirs": copy_driver}
    sheet = cases_sheet(found, methods, trials, "cpu", "")
    places = sheet.axes
    titles = [place.get_title() for place in places[:4]]
    assert titles == ["best,\n0.1", "best,\n0.2", "worst,\n0.3", "worst,\n0.4"]
    rows = [place.get_ylabel() for place in places[::4]]
    assert rows == ["driver", "identity", "ours", "theirs", "truth"]
    shown = places[16].images[0].get_array()
    assert np.array_equal(shown, to_uint8(trials.driver.truth[[1]])[0])


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
