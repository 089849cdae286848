"""The verb, from files to a folder of tables."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_clips import make_clips

from xfer.cli import main
from xfer.errors import BadValue
from xfer.evaluate import command
from xfer.evaluate.command import all_methods, choose_clips, open_models
from xfer.evaluate.trials import world_trials
from xfer.figures import picture_grid
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.reenact.studio import untrained_model
from xfer.rival import StyleMask, StyleMaskConfig, StyleSwap, style_channels

SLIM = {"resolution": 32, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}


@pytest.fixture
def files(tmp_path):
    torch.manual_seed(0)
    reader = FactorReader(FactorReaderConfig(**SLIM, hidden=8)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    parts = (reader, recogniser)
    judge = Instruments(*parts, "judge", {"yaw_deg_error": 1.5}).save(
        tmp_path / "judge.safetensors"
    )
    loss = Instruments(*parts, "loss", {}).save(tmp_path / "loss.safetensors")
    return untrained_model().save(tmp_path / "mine.safetensors"), judge, loss


def test_the_verb_writes_every_table_and_names_the_judge_s_errors(
    files, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("xfer.evaluate.trials.compiler", lambda: None)
    model, judge, loss = map(str, files)
    asked = ["evaluate", "--weights", model, "--out", str(tmp_path / "out"), "--people", "2"]
    asked += ["--per-person", "1"]
    assert main([*asked, "--judges", loss]) == 2
    assert "judge copy is needed" in capsys.readouterr().err
    assert main([*asked, "--judges", judge]) == 0
    assert "yaw_deg_error 1.5" in capsys.readouterr().out
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {
        "trials.csv", "sequences.csv", "summary.csv", "comparisons.csv", "table.md", "table.tex",
        "sheet.png", "evaluation.json",
    }  # fmt: skip
    summary = pd.read_csv(tmp_path / "out/summary.csv")
    methods = list(summary["method"].unique())
    assert methods[0] == "mine" and methods[-2:] == ["ceiling", "truth"]
    found = summary.set_index(["metric", "method"])["value"]
    assert found["frechet", "truth"] == 0 and found["jitter", "copy identity"] == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert record["mode"] == "cross"
    assert set(record["speed"]["frames_a_second"]) >= {"mine", "latent difference"}
    # Speeds differ from run to run, and tables do not.
    assert not summary["metric"].str.contains("second").any()
    assert "second of" not in (tmp_path / "out/table.md").read_text()


def test_a_small_folder_of_one_s_own_is_judged_whole(files, tmp_path, monkeypatch, capsys):
    titles = []

    def grid(*args, title, **kwargs):
        titles.append(title)
        return picture_grid(*args, title=title, **kwargs)

    monkeypatch.setattr(command, "picture_grid", grid)
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
    assert titles == ["cross-reenactment of people (splits: test, train, val)"]
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
