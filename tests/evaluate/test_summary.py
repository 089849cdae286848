"""Paired tests of methods whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from xfer import evaluate as ev
from xfer.evaluate.summary import more_is_better


def readings(people=60, per_person=3):
    """Three methods that read what is true, with a little noise, the same again, or much more."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(people * per_person)
    clear = truth + 0.2 * rng.standard_normal(len(truth))
    noisy = clear + 0.8 * rng.standard_normal(len(truth))
    table = pd.concat(
        pd.DataFrame({"method": method, "trial": range(len(truth)), "metric": name, "value": x})
        for method, read in (("clear", clear), ("same", clear), ("noisy", noisy))
        for name, x in (("jaw_read", read), ("jaw_true", truth))
    )
    table.attrs = {"people": np.arange(people).repeat(per_person).tolist()}
    return table


def test_a_method_that_adds_noise_has_the_smaller_correlation_by_test():
    table = readings()
    gaps = ev.compare(table, "clear").set_index(["other", "metric"])
    summary = ev.summarise(table).set_index(["method", "metric"])["value"]
    found = gaps.loc[("noisy", "jaw_r")]
    assert found["value"] == pytest.approx(summary["clear", "jaw_r"] - summary["noisy", "jaw_r"])
    assert found["low"] > 0 and found["p"] < 0.001
    assert gaps.loc[("same", "jaw_r")].tolist() == [0, 0, 0, 1]
    assert list(gaps.index.get_level_values("metric").unique()) == ["jaw_r"]


def test_trials_that_one_method_lacks_count_for_neither():
    table = readings().reset_index(drop=True)
    lost = (table["method"] == "noisy") & (table["metric"] == "jaw_read") & (table["trial"] < 90)
    attrs, table = table.attrs, table.assign(value=table["value"].where(~lost))
    rest = table[table["trial"] >= 90]
    table.attrs = rest.attrs = attrs
    few = lambda found: ev.compare(found, "clear").set_index("other").loc["noisy", "value"]
    assert few(table) == pytest.approx(few(rest))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("psnr_face", True), ("ssim", True), ("cosine_photo", True), ("accepted", True),
        ("yaw_deg_r", True), ("yaw_deg_error", False), ("median_rank", False),
        ("perceptual_face", False), ("frechet", False), ("dlib_distance", False),
    ],
)  # fmt: skip
def test_each_metric_has_its_better_side(name, more):
    assert more_is_better(name) == more
