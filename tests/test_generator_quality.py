"""`xfer quality`: a generator's verdict, from files to tables."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_frames import make_frames

from xfer import quality
from xfer.cli import main
from xfer.errors import BadValue
from xfer.instruments import (
    MOTION_FACTORS,
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
    set_features,
)
from xfer.metrics.frechet import frechet_distance
from xfer.stylegan2.generator import Generator
from xfer.training import measure_generator
from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.frames import FrameArray
from xfer.training.measure_generator import (
    generator_quality,
    halves_of_people,
    nearest_frames,
    picture_quality,
)
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
    factors = pd.read_csv(tmp_path / "out" / "factors.csv").set_index("factor")
    assert "smile" in factors.index and "jaw" not in factors.index  # which this judge hardly reads
    product = factors["ratio of spreads"] * factors["spread, rendered"]  # of rounded numbers
    assert product.to_numpy() == pytest.approx(factors["spread, drawn"].to_numpy(), abs=0.002)


def test_it_records_what_was_measured_and_by_whom(files, tmp_path):
    assert ask(files) == 0
    record = (tmp_path / "out" / "quality.json").read_text()
    told = json.loads(record)
    assert told["frames"]["seed"] == 0 and told["unseen"]["seed"] == 1
    assert told["unseen"]["people"] == 6 and told["unseen"]["size"] == 32
    assert told["weights"].startswith("g.safetensors, sha256 ")
    assert told["judges"].startswith("j.safetensors, sha256 ")
    assert told["judges_errors"] == {"recogniser_auc": 0.75, "jaw_r": 0.5, "smile_r": 0.9}
    assert str(tmp_path) not in record
    for kind in ("md", "tex"):
        beside = (tmp_path / "out" / f"factors.{kind}").read_text()
        assert "recogniser_auc 0.75" in beside and "smile_r 0.9" in beside


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"count": "20"},
            "40 rendered pictures are needed, 20 of either half of the people; got 24",
        ),
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


def test_people_that_are_known_count_for_nobody_unseen(files, capsys):
    assert ask(files, unseen=files["frames"]) == 2
    assert "render it from another seed" in capsys.readouterr().err


def test_judges_who_saw_the_people_of_the_loss_copy_are_refused(files, judge, tmp_path, capsys):
    taught = {"trained_on": {"seed": 3, "before": {"seed": 2, "instruments": {"seed": 5}}}}
    Generator.load(files["weights"]).save(files["weights"], taught)
    judge.save(files["judges"], {"trained_on": {"seed": 6, "before": {"seed": 5}}})
    assert ask(files) == 2
    assert "has seen the people of the instruments" in capsys.readouterr().err
    judge.save(files["judges"], {"trained_on": {"seed": 6, "before": {"seed": 3}}})
    assert ask(files) == 0


def test_a_generator_that_copies_is_found_out(judge, files, tmp_path):
    seen, unseen = WorldFrames(files["frames"]), WorldFrames(files["unseen"])
    rendered = unseen.pictures(range(12))
    copied = quality._memory(judge, seen.pictures(range(12)), rendered, seen, tmp_path)
    assert copied["nearest_drawn"] == pytest.approx(0, abs=1e-5)
    assert copied["nearer_than_any_unseen"] == 1
    fresh = quality._memory(judge, rendered, rendered, seen, tmp_path)
    assert fresh["nearest_drawn"] == fresh["nearest_unseen"] > 0
    assert fresh["nearer_than_any_unseen"] == 0


def patterned(folder, seed, people=30, frames=8):
    """Everybody in a pattern of their own, hardly different from frame to frame."""
    make_frames(folder, people, frames, 32, seed, MOTION_FACTORS)
    rng = np.random.default_rng(seed)
    own = rng.integers(20, 236, (people, 1, 4, 4, 3)).repeat(8, 2).repeat(8, 3)
    shown = own + rng.integers(-3, 4, (people, frames, 32, 32, 3))
    np.save(folder / "frames.npy", shown.reshape(-1, 32, 32, 3).astype(np.uint8))
    return WorldFrames(folder)


def test_a_generator_that_draws_the_world_scores_its_floor(judge, tmp_path):
    """It draws other people than those it is compared with, as do the two halves of the floor.

    Frames of the same people lie a fifth as far apart, or less. Sums over some worlds.
    """
    total, layers = np.zeros(3), judge.recogniser.layers
    for seed in range(6):
        world = patterned(tmp_path / f"world{seed}", seed)
        drawn = patterned(tmp_path / f"drawn{seed}", seed + 100).pictures(range(0, 240, 2))
        found = picture_quality(drawn, judge, world)
        mixed = np.split(np.random.default_rng(seed).permutation(240), 2)
        same = frechet_distance(
            *(set_features(layers, world.pictures(half.tolist())) for half in mixed)
        )
        total += found["frechet"], found["frechet_floor"], same
    assert 0.6 < total[0] / total[1] < 1.6 and total[2] < 0.2 * total[1]


def test_a_generator_that_draws_one_picture_is_found_out(judge, files, monkeypatch):
    world, drawer = WorldFrames(files["unseen"]), Generator.load(files["weights"])
    varied = generator_quality(drawer, judge, world, 12)
    one = world.pictures([0])
    monkeypatch.setattr(measure_generator, "draw", lambda _, seeds: one[[0] * len(seeds)])
    alike = generator_quality(drawer, judge, world, 12)
    assert alike["recall"] == 0 and alike["pictures"] == varied["pictures"] == 12


def test_halves_share_nobody_and_show_nobody_twice_before_all_are_shown():
    people = np.repeat(np.arange(11), [1, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    for count in (3, 5, 9):
        halves = halves_of_people(people, count, seed=count)
        shown = [people[items] for items in halves]
        assert not set(shown[0]) & set(shown[1])
        for own, items in zip(shown, halves, strict=True):
            assert len(set(items)) == count and len(set(own)) >= min(count, 5)
    with pytest.raises(BadValue, match="got 41 of 11 people"):
        halves_of_people(people, 24)


def test_pictures_are_shown_to_the_recogniser_at_its_size(judge):
    """Plain ones are then the same at any size; larger ones would have less of a border."""
    plain = lambda size: (
        np.array([[[[30, 90, 200]]], [[[220, 90, 10]]]], np.uint8)
        + np.zeros((1, size, size, 1), np.uint8)
    )
    large, small = FrameArray(plain(64)), FrameArray(plain(32))
    found = nearest_frames(large.pictures([1, 0]), judge, small, [0, 1])
    assert found.items.tolist() == [1, 0] and found.distances == pytest.approx([0, 0], abs=1e-5)
