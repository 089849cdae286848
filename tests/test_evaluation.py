"""Trials of known answers, tables, and one evaluation on a generator of two numbers."""

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
from xfer.metrics import metric
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
    for column in result:
        column[:10] = np.nan  # frames without a face
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


def test_a_new_metric_is_measured_wherever_its_arguments_are(monkeypatch):
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))

    @metric("largest", better="lower")
    def largest(output_factors, driver_factors):
        return float(np.abs(output_factors - driver_factors).max())

    @metric("brightness", better="higher")
    def brightness(output):
        return output.mean((1, 2, 3))

    driver, result = seen({"lids": wave}), seen({"lids": np.where(wave > 0.99, wave + 2, wave)})
    numbers = measure_trial(driver, result, subject)
    assert numbers["largest"] == pytest.approx(2) and "brightness" not in numbers
    ones = np.ones((40, 3, 8, 8), np.float32)
    assert measure_trial(driver, result, subject, output=ones)["brightness"] == 1


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
