"""The verb, from files to a folder of tables."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
import torch
from made_clips import make_clips

from xfer.cli import main
from xfer.errors import BadValue
from xfer.evaluate import sheets
from xfer.evaluate.command import all_methods, choose_clips, open_models, shown_columns
from xfer.evaluate.failures import BY_KIND
from xfer.evaluate.trials import world_trials
from xfer.figures import picture_grid
from xfer.files.records import sha256
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
    load_instruments,
)
from xfer.reenact.studio import untrained_model
from xfer.rival import StyleMask, StyleMaskConfig, StyleSwap, style_channels

SLIM = {"resolution": 32, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    reader = FactorReader(FactorReaderConfig(**SLIM, hidden=8)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    parts = (reader, recogniser)
    judge = Instruments(*parts, "judge", {"yaw_deg_error": 1.5}).save(place / "judge.safetensors")
    loss = Instruments(*parts, "loss", {}).save(place / "loss.safetensors")
    return untrained_model().save(place / "mine.safetensors"), judge, loss


@pytest.fixture(scope="module")
def written(files, tmp_path_factory):
    """The folder of an evaluation, and what the verb printed."""
    out = tmp_path_factory.mktemp("evaluation")
    typed = ["evaluate", "--weights", str(files[0]), "--judges", str(files[1]), "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr("xfer.evaluate.trials.compiler", lambda: None)
        assert main([*typed, "--people", "2", "--per-person", "1"]) == 0
    return out, printed.getvalue()


def test_the_verb_writes_every_table_and_names_the_judge_s_errors(written):
    out, printed = written
    assert "yaw_deg_error 1.5" in printed
    assert {path.name for path in out.iterdir()} == {
        "trials.csv", "sequences.csv", "summary.csv", "comparisons.csv", "by_pose.csv",
        "by_hair.csv", "table.md", "table.tex", "table_all.md", "table_all.tex", "verdict.md",
        "sheet.png", "best_and_worst.png", "evaluation.json",
    }  # fmt: skip
    summary = pd.read_csv(out / "summary.csv")
    methods = list(summary["method"].unique())
    assert methods[0] == "mine" and methods[-2:] == ["ceiling", "truth"]
    found = summary.set_index(["metric", "method"])["value"]
    assert found["frechet", "truth"] == 0 and found["jitter", "copy identity"] == 0
    assert "**Identity**: of 2 methods" in (out / "verdict.md").read_text()
    # Speeds differ from run to run, and tables do not.
    assert not summary["metric"].str.contains("second").any()
    assert "second of" not in (out / "table.md").read_text()


def test_the_loss_copy_judges_nothing(files, tmp_path, capsys):
    model, _, loss = map(str, files)
    assert main(["evaluate", "--weights", model, "--judges", loss, "--out", str(tmp_path)]) == 2
    assert "judge copy is needed" in capsys.readouterr().err


def test_nobody_judges_who_has_seen_the_people_of_the_losses(files, tmp_path, capsys):
    names = [str(tmp_path / f"{role}.safetensors") for role in ("model", "judge")]
    untrained_model().save(names[0], {"trained_on": {"seed": 1, "instruments": {"seed": 4}}})
    load_instruments(files[1], "judge").save(names[1], {"trained_on": {"seed": 4}})
    out = tmp_path / "out"
    assert main(["evaluate", "--weights", names[0], "--judges", names[1], "--out", str(out)]) == 2
    assert "has seen the people of the instruments" in capsys.readouterr().err
    assert not out.exists()


def test_the_record_knows_every_file_and_setting_and_no_folder_of_the_machine(files, written):
    text = (written[0] / "evaluation.json").read_text()
    record = json.loads(text)
    assert record["weights"] == [{"file": "mine.safetensors", "sha256": sha256(files[0])}]
    assert record["judges"] == {"file": "judge.safetensors", "sha256": sha256(files[1])}
    assert record["mode"] == "cross" and record["dlib"] is False and record["inverter"] is None
    assert set(record["speed"]["frames_a_second"]) >= {"mine", "latent difference"}
    assert str(files[0].parent) not in text


def test_failures_are_told_by_kind_of_every_model(written):
    for name in ("by_pose", "by_hair"):
        found = pd.read_csv(written[0] / f"{name}.csv")
        assert set(found["method"]) == {"mine"} and set(found["metric"]) == set(BY_KIND)
        assert (found.groupby("metric")["n"].sum() == 2).all()


def test_the_full_table_has_every_metric_and_the_short_one_what_was_asked_for(written):
    out, _ = written
    summary = pd.read_csv(out / "summary.csv")
    metrics = list(summary["metric"].unique())
    cells = lambda line: [cell.strip() for cell in line.strip("|\n ").split("|")]
    head, _, *rows = (out / "table_all.md").read_text().split("\n\n")[0].splitlines()
    assert cells(head) == ["metric", *summary["method"].unique()]
    assert [cells(row)[0] for row in rows] == metrics
    assert {"perceptual", "perceptual_face", "psnr", "ssim", "gaze_x_error"} <= set(metrics)
    latex = (out / "table_all.tex").read_text().replace("\\_", "_")
    assert all(f"\n{name} & " in latex for name in metrics)
    short = cells((out / "table.md").read_text().splitlines()[0])
    assert {"pitch_deg_error", "expression_error", "landmark_error"} <= set(short)
    assert len(short) == 18


def test_what_is_not_known_of_faces_is_shown_of_whole_pictures():
    known = ["yaw_deg_error", "psnr", "ssim", "ssim_face", "dlib_found", "gaze_x_r"]
    assert shown_columns(known) == ["yaw_deg_error", "psnr", "ssim_face", "dlib_found"]


def test_a_small_folder_of_one_s_own_is_judged_whole(files, tmp_path, monkeypatch, capsys):
    titles = []

    def grid(*args, title, **kwargs):
        titles.append(title)
        return picture_grid(*args, title=title, **kwargs)

    monkeypatch.setattr(sheets, "picture_grid", grid)
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    clips = make_clips(tmp_path / "clips", people=3, clips=1, frames=4, pixels=noise)
    index = pd.read_parquet(clips / "index.parquet")
    index["split"] = index["person"].map({"p0": "train", "p1": "val", "p2": "test"})
    index.to_parquet(clips / "index.parquet")
    model, judge, _ = map(str, files)
    asked = ["evaluate", "--weights", model, "--judges", judge, "--clips", str(clips)]
    asked += ["--out", str(tmp_path / "out"), "--per-person", "1"]
    assert main([*asked, "--split", "val"]) == 2
    assert "two people at least; got 1" in capsys.readouterr().err
    assert main(asked) == 0
    said = capsys.readouterr()
    assert "1 people in the split test, and two are needed: all clips are taken" in said.err
    assert "3 people (splits: test, train, val)" in said.out
    assert titles == [
        "cross-reenactment of people (splits: test, train, val)",
        "mine: best and worst by expression_error",
    ]
    assert not (tmp_path / "out/by_hair.csv").exists()
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert record["clips"] == "clips"
    assert "jitter" in set(pd.read_csv(tmp_path / "out/summary.csv")["metric"])


def test_a_split_is_chosen_by_name_and_else_the_one_that_nobody_learned_from(tmp_path, capsys):
    folder = make_clips(tmp_path / "clips", people=4)
    index = pd.read_parquet(folder / "index.parquet")
    index["split"] = index["person"].map(lambda p: "test" if p in ("p2", "p3") else "train")
    index.to_parquet(folder / "index.parquet")
    people = lambda clips: sorted(clips.index["person"].unique())
    assert people(choose_clips(folder)) == ["p2", "p3"] and capsys.readouterr().err == ""
    assert people(choose_clips(folder, "train")) == ["p0", "p1"]
    assert len(people(choose_clips(folder, "all"))) == 4
    with pytest.raises(BadValue, match="has the splits"):
        choose_clips(folder, "val")


def test_a_rival_stands_beside_the_models_but_not_first(tmp_path):
    model = untrained_model()
    torch.manual_seed(0)
    mask = StyleMask(StyleMaskConfig(style_channels(model.generator), 4)).eval()
    rival = StyleSwap(mask, model.generator, model.identity_encoder)
    files = [
        str(model.save(tmp_path / "mine.safetensors")),
        str(rival.save(tmp_path / "rival.safetensors")),
    ]
    trials = world_trials(2, 1, model.generator.resolution, compiled=False)
    methods = all_methods(open_models(files), trials)
    assert list(methods)[:2] == ["mine", "rival"] and methods["rival"] is not None
    shown = methods["rival"](trials.driver, trials.identity)
    assert shown.shape == trials.identity.shape
    with pytest.raises(BadValue, match="name a transfer model before it"):
        open_models(files[::-1])
