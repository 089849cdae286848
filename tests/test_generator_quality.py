"""`xfer quality`: a generator's verdict, from files to tables."""

import json

import pandas as pd
import pytest
import torch
from made_frames import make_frames

from xfer import quality
from xfer.cli import main
from xfer.instruments import (
    MOTION_FACTORS,
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.stylegan2.generator import Generator
from xfer.training import measure_generator
from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.measure_generator import generator_quality
from xfer.training.world_frames import WorldFrames

SLIM = {"resolution": 32, "channels": (4, 8), "blocks": (1, 1), "reduction": 4}


def noise(folder, seed, size=32):
    return make_frames(folder, 6, 4, size, seed, MOTION_FACTORS)


@pytest.fixture
def judge():
    torch.manual_seed(0)
    reader = FactorReader(FactorReaderConfig(**SLIM, hidden=8)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    errors = {"recogniser_auc": 0.75, "jaw_r": 0.5, "smile_r": 0.9}
    return Instruments(reader, recogniser, "judge", errors)


@pytest.fixture
def files(judge, tmp_path):
    torch.manual_seed(0)
    sizes = {"generator.channel_max": 8, "generator.w_dim": 8, "generator.z_dim": 8}
    drawer = Generator(preset(GENERATOR_PRESETS, "nano", **sizes).generator)
    return {
        "weights": str(drawer.save(tmp_path / "g.safetensors")),
        "judges": str(judge.save(tmp_path / "j.safetensors")),
        "frames": str(noise(tmp_path / "seen", 0)),
        "unseen": str(noise(tmp_path / "unseen", 1)),
        "out": str(tmp_path / "out"),
    }


def ask(files, **changes):
    given = files | {"count": "12"} | changes
    return main(
        ["quality", *(word for key, value in given.items() for word in (f"--{key}", value))]
    )


def test_the_verb_writes_every_table_and_figure(files, tmp_path, capsys):
    assert ask(files) == 0
    assert "recogniser_auc 0.75" in capsys.readouterr().out
    found = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {"samples.png", "factors.png", "nearest.png"}
    assert found == pictures | {"quality.json", "factors.csv", "factors.md", "factors.tex"}
    told = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert told["pictures"] == 12 and told["frechet"] > 0
    factors = set(pd.read_csv(tmp_path / "out" / "factors.csv")["factor"])
    assert "smile" in factors and "jaw" not in factors  # which this judge hardly reads


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"count": "20"}, "40 rendered pictures are needed; got 24"),
        ({"unseen": "nowhere"}, "nowhere holds no complete set of frames"),
        ({"judges": "small-instruments"}, "the judge copy is needed"),
    ],
)
def test_what_cannot_be_measured_is_refused(files, wrong, told, capsys):
    assert ask(files, **wrong) == 2
    assert told in capsys.readouterr().err


def test_frames_of_another_size_are_refused(files, tmp_path, capsys):
    larger = noise(tmp_path / "larger", 2, size=64)
    assert ask(files, unseen=str(larger)) == 2
    assert "draws 32 px; got frames of 64 px" in capsys.readouterr().err


def test_a_generator_that_copies_is_found_out(judge, files, tmp_path):
    seen, unseen = WorldFrames(files["frames"]), WorldFrames(files["unseen"])
    rendered = unseen.pictures(range(12))
    copied = quality._memory(judge, seen.pictures(range(12)), rendered, seen, tmp_path)
    assert copied["nearest_drawn"] == pytest.approx(0, abs=1e-5)
    assert copied["nearer_than_any_unseen"] == 1
    fresh = quality._memory(judge, rendered, rendered, seen, tmp_path)
    assert fresh["nearest_drawn"] == fresh["nearest_unseen"] > 0
    assert fresh["nearer_than_any_unseen"] == 0


def test_a_generator_that_draws_the_world_scores_its_floor(judge, files, monkeypatch):
    """Its pictures are the second half of the rendered ones, which the floor is measured on."""
    unseen = WorldFrames(files["unseen"])
    second = unseen.pictures(unseen.items(range(12, 24)))
    drawer = Generator.load(files["weights"])
    monkeypatch.setattr(measure_generator, "draw", lambda _, seeds: second[list(seeds)])
    found = generator_quality(drawer, judge, unseen, 12)
    assert found["frechet"] == pytest.approx(found["frechet_floor"], rel=1e-6)
    monkeypatch.setattr(measure_generator, "draw", lambda _, seeds: second[[0] * len(seeds)])
    alike = generator_quality(drawer, judge, unseen, 12)
    assert alike["frechet"] > found["frechet"] and alike["recall"] < found["recall"]
