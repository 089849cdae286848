"""Metrics and trials of known answers, and one evaluation on a generator of two numbers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from lamp import STYLES, WIDTH, Lamp, moving

from xfer import evaluation as module
from xfer import metrics
from xfer.errors import BadValue
from xfer.evaluation import EvaluateConfig, evaluate, write_tables
from xfer.face_reader import FaceReader
from xfer.landmarker import FACTOR_UNITS, FACTORS
from xfer.model import Transfer
from xfer.pipeline import TransferPipeline
from xfer.trials import DriverVideo, Judges, Observation, Subject, measure_trial

N = len(FACTORS)


def seen(motion, codes=None) -> Observation:
    """What judges see of faces at rest but for some units of motion by factor."""
    n = len(next(iter(motion.values())))
    factors = np.full((n, N), 0.3)
    for name, values in motion.items():
        factors[:, FACTORS.index(name)] += values * FACTOR_UNITS[name]
    second = factors[:, [FACTORS.index(name) for name in ("yaw", "lip_gap", "lids")]]
    codes = np.zeros((n, 128)) if codes is None else codes
    return Observation(factors, np.zeros(n), second, codes)


wave = np.sin(np.arange(40.0))
still = seen({"yaw": np.zeros(1)})
subject = Subject(None, still, still.codes)


def test_half_the_motion_has_r_1_and_slope_one_half_and_no_motion_has_neither():
    driver, result = seen({"yaw": wave, "lids": wave}), seen({"yaw": wave, "lids": 0.5 * wave})
    numbers = measure_trial(driver, result, subject)
    assert numbers["lids_r"] == pytest.approx(1) and numbers["yaw_slope"] == pytest.approx(1)
    assert [numbers["lids_slope"], numbers["dlib_lids_slope"]] == pytest.approx([0.5, 0.5])
    assert numbers["slope"] == pytest.approx(0.75) and numbers["found"] == 1
    assert numbers["lids_error"] == pytest.approx(np.abs(0.5 * (wave - np.median(wave))).mean())
    assert numbers["smile_r"] is None and numbers["smile_error"] == 0
    numbers = measure_trial(seen({"yaw": 0.1 * wave}), seen({"yaw": 0.1 * wave + 1}), subject)
    assert numbers["yaw_r"] is None and numbers["yaw_error"] == pytest.approx(15)
    for column in result:  # frames without a face
        column[:10] = np.nan
    numbers = measure_trial(driver, result, subject)
    assert numbers["found"] == 0.75 and numbers["lids_slope"] == pytest.approx(0.5)
    assert measure_trial(driver, result.rows(np.arange(40) < 10), subject) == {"found": 0}


def test_identity_is_measured_against_the_portrait_and_spread_against_the_driver():
    codes = np.random.default_rng(0).normal(size=(40, 128))
    driver, result = seen({"lids": wave}, codes), seen({"lids": wave}, 0.5 * codes)
    assert measure_trial(driver, result, subject)["spread"] == pytest.approx(0.5)
    near = seen({"lids": wave}, np.eye(128)[:40] * np.where(np.arange(40) < 10, 0.9, 0.4)[:, None])
    numbers = measure_trial(driver, near, subject)
    assert numbers["accepted"] == 0.75 and numbers["identity_distance"] == pytest.approx(0.525)


def test_tables_have_means_intervals_and_paired_tests(tmp_path):
    rows = product([("ours", 0.5), ("copy", 0.2)], "ab", range(1, 7))
    rows = [(m, 1.0, d, i, r + i / 10, 1.0 if d == "a" else None) for (m, r), d, i in rows]
    table = pd.DataFrame(rows, columns=[*module.KEYS, "r", "yaw_r"])
    summary, tests = write_tables(table, tmp_path)
    summary, tests = summary.set_index(["method", "metric"]), tests.set_index("metric")
    assert summary.loc[("ours", "r"), "value"] == pytest.approx(0.85)
    assert summary.loc[("copy", "yaw_r"), "n"] == 6 and summary.loc[("ours", "r"), "low"] < 0.85
    assert tests.loc["r", "difference"] == pytest.approx(0.3) and tests.loc["r", "p"] < 0.05
    assert "| r | 0.85 [" in (tmp_path / "summary.md").read_text()
    assert "tabular" in (tmp_path / "summary.tex").read_text()


class Brightness(Judges):
    """Takes brightness for open lids, and counts frames."""

    count, reader = 0, FaceReader.__new__(FaceReader)

    def __init__(self, *_):
        pass

    def __call__(self, frames):
        Brightness.count += len(frames)
        motion = {"lids": (frames.mean((1, 2, 3)) / 127.5 - 1) * 10}
        return seen(motion, np.full((len(frames), 128), 0.01))


def test_an_evaluation_measures_methods_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(TransferPipeline, "_own_motion", lambda *_: torch.zeros(1, N))
    monkeypatch.setattr(Transfer, "random_identity", lambda *_: torch.zeros(1, STYLES, WIDTH))
    monkeypatch.setattr(module, "load", lambda _: Transfer(Lamp(), control=moving("lids", 0)))
    monkeypatch.setattr(module, "Judges", Brightness)
    levels = (128 + 40 * wave).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 3))
    open_driver = lambda text, *_: DriverVideo(text, frames, Brightness()(frames))
    monkeypatch.setattr(module, "open_driver", open_driver)
    config = EvaluateConfig(("a.mp4",), ("random:1", "random:2"), methods=("ours", "copy"))
    evaluate(config, str(tmp_path))
    table = pd.read_csv(tmp_path / "summary.csv").set_index(["method", "metric"])["value"]
    assert table["ours", "lids_r"] == pytest.approx(1, abs=0.01)
    assert table["ours", "lids_slope"] == pytest.approx(1, abs=0.1)
    assert table["copy", "lids_slope"] == 0 and table["copy", "still_distance"] == 0
    before = Brightness.count
    evaluate(config, str(tmp_path))
    assert Brightness.count == before + 40  # the driver alone was read again
    evaluate(replace(config, frames=12), str(tmp_path))
    assert Brightness.count > before + 40 + 4 * 40  # other settings are measured anew
    with pytest.raises(BadValue, match="methods are ours"):
        evaluate(replace(config, methods=("best",)), str(tmp_path))


def test_metrics_of_values_whose_answer_is_plain():
    truth = np.zeros((2, 3, 16, 16))
    output = truth.copy()
    output[1] = 0.2
    assert metrics.psnr(output, truth) == pytest.approx([106.02, 20.0], abs=0.01)
    first, second = np.random.default_rng(0).uniform(-1, 1, (2, 2, 3, 32, 32))
    assert metrics.ssim(first, first) == pytest.approx([1, 1])
    assert (metrics.ssim(first, second) < 0.2).all()
    output, driver = np.array([[10.0, 179.0, 0.0]]), np.array([[4.0, -179.0, 1.0]])
    assert metrics.pose_error(output, driver) == pytest.approx([3.0])
    one, other = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 0.0], [1.0, -1.0]])
    assert metrics.identity_distance(one, other) == pytest.approx([1.0, 2.0])
    assert metrics.identity_cosine(one, other) == pytest.approx([1.0, 0.0])


def test_a_new_metric_is_one_decorated_function(monkeypatch):
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))

    @metrics.metric("brightness_error", better="lower", unit="levels")
    def brightness_error(output, truth, scale=127.5):
        return scale * np.abs((output - truth).mean((1, 2, 3)))

    added = metrics.METRICS["brightness_error"]
    assert added.needs == ("output", "truth") and added.better == "lower"
    truth = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 3, 16, 16))
    values = metrics.measure(output=truth + 0.1, truth=truth)
    assert set(values) >= {"psnr", "ssim", "brightness_error"}
    assert values["brightness_error"] == pytest.approx([12.75, 12.75])


def normal(n, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal(n) * scale + shift


def test_a_mean_s_interval_is_that_of_theory_and_of_a_constant_none():
    values = normal(400, scale=2.0, shift=5.0)
    value, low, high = metrics.bootstrap(np.mean, values)
    reach = 1.96 * values.std() / 20
    assert value == pytest.approx(values.mean())
    assert high - value == pytest.approx(reach, rel=0.1)
    assert value - low == pytest.approx(reach, rel=0.1)
    assert metrics.bootstrap(np.mean, values) == (value, low, high)
    assert metrics.bootstrap(np.mean, np.full(9, 3.0)) == (3.0, 3.0, 3.0)
    with pytest.raises(BadValue, match="there is none"):
        metrics.bootstrap(np.mean, np.zeros(0))


def test_rows_of_one_person_count_as_one():
    few = normal(50)
    people = np.arange(50).repeat(20)
    apart = metrics.bootstrap(np.mean, few.repeat(20), draws=500)
    together = metrics.bootstrap(np.mean, few.repeat(20), people=people, draws=500)
    assert together == pytest.approx(metrics.bootstrap(np.mean, few, draws=500))
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_a_paired_difference_sees_what_two_intervals_hide_and_how_few_people_agree_by_luck():
    base = normal(200, scale=10)
    better = base + 0.3 + 0.5 * normal(200, 1)
    difference = metrics.paired_test(better, base)
    assert difference.low > 0 and difference.p < 0.001
    assert metrics.bootstrap(np.mean, base).high > metrics.bootstrap(np.mean, better).low
    same = metrics.paired_test(normal(200, 2), normal(200, 3))
    assert same.low < 0 < same.high and same.p > 0.05
    assert metrics.paired_test(base, base).p == 1.0
    better = np.arange(1.0, 5.0)
    assert metrics.paired_test(better, np.zeros(4)).p == 2 / 2**4
    people = np.arange(4).repeat(10)
    assert metrics.paired_test(better.repeat(10), np.zeros(40), people).p == 2 / 2**4
