"""A run from the command line ends in weights that load, with a sheet and a record beside them."""

import os
import signal
import time

import numpy as np
import pytest

from xfer.cli import main
from xfer.errors import BadValue, Stopped
from xfer.runs import read_json
from xfer.stylegan2.generator import Generator
from xfer.training import config, following, recipes
from xfer.training.distributed import World
from xfer.training.session import Session, leave_if_stopped, time_limit

SETTINGS = [
    "batch=8", "total_kimg=0.048", "tick_kimg=0.016", "save_kimg=0.016", "sheet_kimg=0.016",
    "generator.resolution=8", "discriminator.resolution=8", "generator.channel_base=64",
    "discriminator.channel_base=64", "half=none",
]  # fmt: skip


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "frames.npy", rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8))
    return tmp_path / "frames.npy"


def test_training_from_the_command_line_ends_in_weights_that_load(tmp_path, frames, capsys):
    out = tmp_path / "run"
    arguments = ["train", "generator", "--out", str(out), "--frames", str(frames)]
    assert main([*arguments, "--preset", "nano", "--device", "cpu", "--set", *SETTINGS]) == 0
    assert "g_loss" in capsys.readouterr().err
    generator = Generator.load(out / "generator.safetensors")
    assert generator.resolution == 8 and generator.w_mean.abs().sum() > 0
    assert read_json(out / "run.json")["config"]["batch"] == 8
    assert list((out / "sheets").glob("*.png"))
    assert [record["step"] for record in recipes.history(out)] == [2, 4, 6]


def test_frames_of_another_size_are_refused(tmp_path, frames):
    with pytest.raises(BadValue, match="8 px; this preset trains at 32 px"):
        recipes.train_generator(tmp_path / "run", frames, "nano", device="cpu")


def test_a_wrong_setting_is_one_message_and_no_run(tmp_path, frames, capsys):
    arguments = ["train", "generator", "--out", str(tmp_path / "run"), "--frames", str(frames)]
    assert main([*arguments, "--preset", "nano", "--set", "bacth=8"]) == 2
    assert "did you mean 'batch'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_record_of_a_run_is_kept_without_its_weights(tmp_path, frames):
    out, kept = tmp_path / "run", tmp_path / "kept"
    recipes.train_generator(out, frames, "nano", SETTINGS, "cpu")
    recipes.keep_record(out, kept)
    names = {path.relative_to(kept).parts[0] for path in kept.rglob("*") if path.is_file()}
    assert names == {"run.json", "stats.jsonl", "sheets", "strips"}
    assert list(recipes.history(kept)) == list(recipes.history(out))
    strips, labels = recipes.read_strips(kept)
    assert strips.shape == (8 * len(labels), 3, 8, 8) and labels[-1].endswith("kimg")


def test_a_run_that_is_told_to_stop_says_so_and_goes_on_later(tmp_path, frames, monkeypatch):
    out, told = tmp_path / "run", []

    def stop_once(record):
        if not told:
            told.append(os.kill(os.getpid(), signal.SIGTERM))
        return ""

    monkeypatch.setattr(following, "describe", stop_once)
    with pytest.raises(Stopped, match="SIGTERM; run again"):
        recipes.train_generator(out, frames, "nano", SETTINGS, "cpu")
    assert (out / "generator.safetensors").exists()
    recipes.train_generator(out, frames, "nano", SETTINGS, "cpu")
    assert [record["step"] for record in recipes.history(out)] == [2, 4, 6]
    assert read_json(out / "run.json")["stopped"] is None


def test_a_time_limit_ends_a_run_as_if_its_work_was_done(tmp_path, frames):
    long = [setting for setting in SETTINGS if "total" not in setting] + ["total_kimg=1000"]
    path = recipes.train_generator(tmp_path / "run", frames, "nano", long, "cpu", hours=2 / 3600)
    assert Generator.load(path).resolution == 8
    assert read_json(tmp_path / "run" / "run.json")["stopped"] == "SIGALRM"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_time_limit_is_some_time():
    with pytest.raises(BadValue, match="hours above 0; got 0"), time_limit(0):
        pass


def test_a_time_limit_that_is_over_before_a_run_begins_ends_it(tmp_path):
    with time_limit(0.1 / 3600):
        time.sleep(0.2)
        with session(tmp_path / "run") as late:
            for _ in late.steps():
                time.sleep(0.02)
    assert 0 < late.step < 90


@pytest.mark.parametrize("order", [["SIGTERM", "SIGALRM"], ["SIGALRM", "SIGTERM"]])
def test_a_wish_to_stop_outweighs_the_end_of_the_time(order, tmp_path):
    with session(tmp_path / "run"):
        for name in order:
            os.kill(os.getpid(), signal.Signals[name])
    with pytest.raises(Stopped, match="SIGTERM; run again"):
        leave_if_stopped(tmp_path / "run")


def session(folder):
    chosen = config.preset(config.GENERATOR_PRESETS, "nano", batch=10, total_kimg=1.0)
    return Session(folder, chosen, {}, World())


def test_schedules_end_with_the_time_limit(tmp_path):
    """A tenth of the time is a tenth of the way, however few steps it was; so also later on."""
    assert session(tmp_path / "free").scheduled_step == 0
    with time_limit(2 / 3600), session(tmp_path / "run") as first:
        assert first.scheduled_step < 10
        time.sleep(1)
        assert 45 < first.scheduled_step < 70
        first.save()
    with time_limit(1 / 3600), session(tmp_path / "run") as second:
        assert 45 < second.scheduled_step < 80
        time.sleep(1.05)
        assert second.scheduled_step == 100
        assert second.stopping == "SIGALRM"
        second.save()
    with time_limit(9 / 3600), session(tmp_path / "run") as third:
        assert third.scheduled_step < 10  # the limit before was used up: this is another
    with session(tmp_path / "run") as last:
        assert last.scheduled_step == 0
