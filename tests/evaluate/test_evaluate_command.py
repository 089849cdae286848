"""The verb, from files to a folder of tables."""

import json

import pandas as pd
import pytest
import torch

from xfer.cli import main
from xfer.errors import BadValue
from xfer.evaluate.command import all_methods, open_models
from xfer.evaluate.trials import world_trials
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
        "trials.csv", "summary.csv", "comparisons.csv", "table.md", "table.tex", "sheet.png",
        "evaluation.json",
    }  # fmt: skip
    methods = list(pd.read_csv(tmp_path / "out/summary.csv")["method"].unique())
    assert methods[0] == "mine" and methods[-2:] == ["ceiling", "truth"]
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["mode"] == "cross"


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
