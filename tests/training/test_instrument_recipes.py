"""Instruments and inverter from the command line: files that load, with their own errors told."""

import pytest
import torch
from made_frames import make_frames

from xfer.cli import main
from xfer.encoders import IdentityEncoder
from xfer.files import read_checkpoint
from xfer.instruments import MOTION_FACTORS, load_instruments
from xfer.stylegan2.generator import Generator
from xfer.training.config import GENERATOR_PRESETS
from xfer.training.measure_instruments import reader_errors, recogniser_errors
from xfer.training.world_frames import WorldFrames

SHORT = ["batch=8", "total_kimg=0.016", "tick_kimg=0.008", "save_kimg=0.008"]


def noise(folder, seed):
    return make_frames(folder, 4, 4, 32, seed, MOTION_FACTORS)


@pytest.fixture
def folders(tmp_path):
    return noise(tmp_path / "seen", 0), noise(tmp_path / "unseen", 1)


def train(folders, out, copy, *settings, options=()):
    seen, unseen = folders
    return main(
        ["train", "instruments", "--out", str(out), "--frames", str(seen), "--unseen", str(unseen),
         "--copy", copy, "--preset", "nano", "--device", "cpu", *options,
         "--set", *SHORT, *settings]
    )  # fmt: skip


def test_instruments_then_an_inverter(folders, tmp_path, capsys):
    out = tmp_path / "loss"
    assert train(folders, out, "loss", "reader.hidden=16", "margin=0.1") == 0
    instruments = load_instruments(out / "instruments.safetensors", "loss")
    assert instruments.reader.config.hidden == 16
    assert {"yaw_deg_error", "landmark_error", "recogniser_auc"} <= instruments.errors.keys()
    generator = Generator(GENERATOR_PRESETS["nano"].generator).save(tmp_path / "g.safetensors")
    arguments = ["train", "inverter", "--out", str(tmp_path / "inverter"), "--frames"]
    arguments += [str(folders[0]), "--generator", str(generator), "--instruments"]
    arguments += [str(out / "instruments.safetensors"), "--preset", "nano", "--device", "cpu"]
    assert main([*arguments, "--set", *SHORT]) == 0
    encoder = IdentityEncoder.load(tmp_path / "inverter" / "inverter.safetensors")
    assert encoder.config.n_styles == 8
    assert list((tmp_path / "inverter" / "sheets").glob("*.png"))


def test_the_inverter_refuses_the_judges(folders, tmp_path, capsys):
    out = tmp_path / "judge"
    assert train(folders, out, "judge") == 0
    generator = Generator(GENERATOR_PRESETS["nano"].generator).save(tmp_path / "g.safetensors")
    arguments = ["train", "inverter", "--out", str(tmp_path / "inverter"), "--frames"]
    arguments += [str(folders[0]), "--generator", str(generator), "--instruments"]
    assert main([*arguments, str(out / "instruments.safetensors"), "--preset", "nano"]) == 2
    assert "the loss copy is needed" in capsys.readouterr().err


def test_one_of_them_learns_on_and_the_other_stays(folders, tmp_path, capsys):
    assert train(folders, tmp_path / "first", "judge") == 0
    start = tmp_path / "first" / "instruments.safetensors"
    options = ["--start", str(start), "--only", "reader"]
    still = ["learning_rate=0.0", "weight_decay=0.0"]
    others = noise(tmp_path / "others", 2), folders[1]
    assert train(others, tmp_path / "same", "judge", *still, options=options) == 0
    assert train(others, tmp_path / "on", "judge", options=options) == 0
    first, same, on = (
        load_instruments(tmp_path / name / "instruments.safetensors", "judge")
        for name in ("first", "same", "on")
    )
    learned = {name for name, _ in first.reader.named_parameters()} | {"mean", "scale"}
    before, kept, after = (part.reader.state_dict() for part in (first, same, on))
    assert all(torch.equal(before[name], kept[name]) for name in learned)  # its scales too
    assert any(not torch.equal(before[name], after[name]) for name in learned)
    before, after = (part.recogniser.state_dict() for part in (first, on))
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    told = read_checkpoint(tmp_path / "on" / "instruments.safetensors").facts["trained_on"]
    assert told["seed"] == 2 and told["before"]["seed"] == 0

    assert train(folders, tmp_path / "none", "judge", options=["--only", "reader"]) == 2
    assert "name the start that has the other" in capsys.readouterr().err
    assert train(folders, tmp_path / "other", "loss", options=options) == 2
    assert "the loss copy is needed" in capsys.readouterr().err


def test_own_errors_are_measured_on_other_people(folders, tmp_path, capsys):
    assert train((folders[0], folders[0]), tmp_path / "out", "loss") == 2
    assert "render it from another seed" in capsys.readouterr().err


def test_a_setting_that_neither_has_is_named(folders, tmp_path, capsys):
    assert train(folders, tmp_path / "out", "loss", "margn=0.1") == 2
    assert "there is no setting 'margn'" in capsys.readouterr().err


def test_an_instrument_that_reads_the_truth_has_no_error(folders):
    frames = WorldFrames(folders[1])
    truth = frames.factors(list(MOTION_FACTORS))
    landmarks = frames.landmarks.unflatten(1, (68, 2))

    oracle = lambda pictures: (truth[: len(pictures)], landmarks[: len(pictures)])
    table = reader_errors(oracle, MOTION_FACTORS, frames)
    assert table["yaw_deg_error"] == 0 and table["landmark_error"] == 0
    assert table["smile_r"] == pytest.approx(1)


def test_a_recogniser_that_knows_the_people_separates_them(folders):
    frames = WorldFrames(folders[1])
    people = torch.from_numpy(frames.table.person.to_numpy(copy=True))
    knows = lambda pictures: torch.nn.functional.one_hot(people[: len(pictures)], 4).float()
    assert recogniser_errors(knows, frames) == {
        "recogniser_auc": 1.0,
        "recogniser_true_accepts": 1.0,
    }
