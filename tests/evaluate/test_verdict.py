"""Sentences about tables whose winners are known."""

import pandas as pd
import pytest

from xfer.evaluate.verdict import verdict


def tables(metric, values, gaps):
    """Of `ours`, and of others with what ours has more or less than they, and the p value."""
    summary = pd.DataFrame(
        [(name, metric, x, x - 0.1, x + 0.1, 9) for name, x in values.items()],
        columns=["method", "metric", "value", "low", "high", "n"],
    )
    rows = [(name, metric, gap, gap - 0.2, gap + 0.2, p) for name, (gap, p) in gaps.items()]
    return summary, pd.DataFrame(rows, columns=["other", "metric", "value", "low", "high", "p"])


def told(name, metric, values, gaps, mode="cross"):
    """The paragraph about one question."""
    text = verdict(*tables(metric, values, gaps), mode)
    (found,) = (part for part in text.split("\n\n") if part.startswith(f"**{name}**"))
    return found


YAW = {"ours": 2.0, "other": 3.0, "copy identity": 30.0, "copy driver": 1.5, "truth": 1.6}
YAW_GAPS = {
    "other": (-1.0, 0.0005), "copy identity": (-28.0, 0.0005), "copy driver": (0.5, 0.01),
    "truth": (0.4, 0.01),
}  # fmt: skip


def test_the_best_of_those_that_move_a_person_wins():
    found = told("Pose, yaw", "yaw_deg_error", YAW, YAW_GAPS)
    assert found == (
        "**Pose, yaw**: of 2 methods `ours` is best, with 2 [1.9, 2.1] (error in degrees; less is "
        "better). `ours` is 1 [0.8, 1.2] better than `other` (significant, p < 0.001). "
        "It is 28 [27.8, 28.2] better than `copy identity` (significant, p < 0.001), which does "
        "not move and has 30 [29.9, 30.1]: it follows the yaw. The truth itself has 1.6 [1.5, 1.7]."
    )


def test_who_loses_is_told_so_and_what_may_be_chance_too():
    values, gaps = YAW | {"other": 1.9}, YAW_GAPS | {"other": (0.1, 0.3)}
    found = told("Pose, yaw", "yaw_deg_error", values, gaps)
    assert "`other` is best, with 1.9 [1.8, 2]" in found
    assert "`ours`, with 2 [1.9, 2.1], is 0.1 [-0.1, 0.3] worse than `other`" in found
    assert "(not significant, p = 0.3)" in found


def test_a_model_that_moves_nothing_is_not_said_to_follow():
    values = YAW | {"ours": 31.0}
    gaps = {"other": (28.0, 0.0005), "copy identity": (1.0, 0.2)}
    found = told("Pose, yaw", "yaw_deg_error", values, gaps)
    assert "1 [0.8, 1.2] worse than `copy identity` (not significant, p = 0.2)" in found
    assert found.endswith("nothing here shows that it follows the yaw. The truth itself has "
                          "1.6 [1.5, 1.7].")  # fmt: skip
    better = told("Pose, yaw", "yaw_deg_error", values, {"copy identity": (-1.0, 0.06)})
    assert "nothing here shows that it follows the yaw" in better


def test_more_of_a_cosine_is_better_and_equals_are_as_good():
    values = {"ours": 0.8, "same": 0.8, "copy driver": 0.1}
    gaps = {"same": (0.0, 1.0), "copy driver": (0.7, 0.0005)}
    found = told("Identity", "cosine_photo", values, gaps)
    assert "more is better). `ours` is as good as `same`." in found
    assert "0.7 [0.5, 0.9] better than `copy driver` (significant" in found
    assert "which shows somebody else and has 0.1 [0, 0.2]: it keeps the person." in found
    # The driver is then another frame of the very person.
    alone = told("Identity", "cosine_photo", values, gaps, mode="self")
    assert "copy driver" not in alone


def test_nearness_is_told_of_faces_and_else_of_whole_pictures():
    values = {"ours": 18.0, "copy identity": 15.0, "truth": 106.0}
    gaps = {"copy identity": (3.0, 0.001)}
    for metric in ("psnr_face", "psnr"):
        found = told("Distance to the truth, in pixels", metric, values, gaps)
        assert "it comes nearer to the truth than the photo." in found and "106" not in found


def test_what_nobody_measured_or_could_read_is_said_to_be_so():
    summary, gaps = tables("yaw_deg_error", YAW, YAW_GAPS)
    assert "**Expression**: not measured" in verdict(summary, gaps, "cross")
    known = pd.DataFrame([("ours", "rank", 1.0, 1.0, 1.0, 9)], columns=summary.columns)
    unread = pd.concat([known, summary[summary["method"] != "ours"]])
    text = verdict(unread, gaps.iloc[:0], "cross")
    assert "**Pose, yaw**: the judge can read nothing in the pictures of `ours`." in text


@pytest.mark.parametrize("p", [0.049, 0.051])
def test_significant_is_what_chance_gives_in_less_than_one_of_twenty(p):
    found = told("Pose, yaw", "yaw_deg_error", YAW, {"other": (-1.0, p)})
    assert ("not significant" in found) == (p > 0.05)
