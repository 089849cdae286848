"""On prepared clips ArcFace judges who is shown, and landmarks tell what they do."""

import functools
import json

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from by_rule import DATA
from made_clips import make_clips

from xfer.cli import main
from xfer.controls import LandmarkReader
from xfer.crop import ffhq_crop, picture_to_crop
from xfer.errors import BadFile
from xfer.evaluate import open_judge
from xfer.evaluate.judges import readings
from xfer.instruments import FaceRecogniser
from xfer.media.pictures import read_picture, read_pixels
from xfer.metrics.frechet import frechet_interval
from xfer.reenact.studio import untrained_model

PORTRAIT = DATA / "align" / "astronaut_256.png"


@pytest.fixture
def clips(tmp_path):
    pixels = read_pixels(PORTRAIT)
    return make_clips(tmp_path / "clips", people=2, clips=1, frames=3, pixels=pixels)


def test_who_is_read_by_arcface_and_what_they_do_from_landmarks(arcface, clips):
    judge = open_judge(arcface, clips)
    portrait = read_picture(PORTRAIT)
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = readings(judge, torch.cat([portrait, noise]))
    with torch.no_grad():
        crop = F.adaptive_avg_pool2d(portrait[:, :, 35:223, 32:220], (112, 112))
        expected = FaceRecogniser.load(arcface)(crop)
    np.testing.assert_allclose(found.embeddings[:1], expected.numpy(), atol=1e-5)
    points = torch.tensor(json.loads((DATA / "align/landmarks.json").read_text())["astronaut"])
    points = picture_to_crop(ffhq_crop(points[None].float()), points[None].float())
    np.testing.assert_allclose(found.landmarks[0], points[0].numpy(), atol=0.06)
    read = LandmarkReader.load("small")(torch.from_numpy(found.landmarks[:1]))
    np.testing.assert_allclose(found.factors[0], read[0].numpy(), atol=1e-5)
    assert "yaw_deg" in judge.names and "smile" in judge.names
    assert np.isnan(found.factors[1]).all() and np.isnan(found.landmarks[1]).all()


def test_without_clips_it_judges_nothing(arcface):
    with pytest.raises(BadFile, match=r"neither pose nor expression.*prepared clips \(--clips\)"):
        open_judge(arcface)


def test_the_verb_says_beside_the_table_who_judged_what(
    arcface, clips, tmp_path, capsys, monkeypatch
):
    # Each draw of the interval takes roots of 512 x 512 numbers.
    few = functools.partial(frechet_interval, draws=2)
    monkeypatch.setattr("xfer.evaluate.sets.frechet_interval", few)
    model = untrained_model().save(tmp_path / "mine.safetensors")
    asked = ["evaluate", "--weights", str(model), "--judges", str(arcface), "--per-person", "1"]
    assert main([*asked, "--out", str(tmp_path / "none")]) == 2
    assert "--clips" in capsys.readouterr().err
    assert main([*asked, "--clips", str(clips), "--out", str(tmp_path / "out")]) == 0
    for told in (capsys.readouterr().out, (tmp_path / "out/table.md").read_text()):
        assert "Identity, features and frechet by ArcFace (model_ir_se50.pth)" in told
        assert "has learned to please them" in told
        assert "Pose, expression and jitter by dlib's 68 points" in told
    summary = pd.read_csv(tmp_path / "out/summary.csv").set_index(["metric", "method"])["value"]
    assert summary["yaw_deg_error", "copy driver"] == 0
    assert summary["cosine_photo", "copy identity"] == pytest.approx(1, abs=1e-5)
