"""The command line: verbs, flags, and what users see when something is wrong."""

import os
import subprocess
import sys

import pytest

from xfer import cli


def test_version_and_usage_need_no_heavy_import_and_an_unknown_verb_shows_the_known_ones():
    code = "import sys; from xfer.cli import main; main(['--version']); main(['transfuse']); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("xfer 0.") and done.stdout.endswith("False\n"), done.stderr
    assert "transfer" in done.stderr + done.stdout
    assert cli.main(["transfuse"]) == 2 and cli.main([]) == 0


@pytest.mark.parametrize("typed, gathered", [
    ("--driver a b --out o", "--driver a b --out o"), ("a --help", "--help"),
    ("--driver a --out o --source b", "--driver a b --out o"),
    ("--driver=yaw=20 --target=x.jpg", "--driver yaw=20 --identity x.jpg"),
    ("a b --n_workers 2", "--inputs a b --n-workers 2"),
])  # fmt: skip
def test_repeated_flags_aliases_and_bare_words_come_under_one_name(typed, gathered):
    assert cli.gathered(typed.split(), "--inputs") == gathered.split()


def test_a_preset_gives_the_defaults_that_flags_override(monkeypatch):
    from xfer.training import config, train_generator

    def trained(config: config.GeneratorTraining, data: str, folder: str, device: str = "auto"):
        return f"{config.generator.resolution} {config.batch} {folder}"

    monkeypatch.setattr(train_generator, "train_generator", trained)
    flags = ["train", "generator", "--preset", "toy", "--batch", "3", "--data", "d", "--out", "o"]
    assert cli.run(flags) == 0
    assert cli.main(["train", "generator", "--preset", "vast"]) == 2


def test_an_error_is_one_line_on_stderr_whatever_the_console_can_show():
    done = subprocess.run(
        [sys.executable, "-m", "xfer", "weights", "verify", "ﬀhq – 顔"], capture_output=True,
        text=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"}, errors="replace",
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("xfer: files that can be fetched are")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_who_has_read_enough_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m xfer weights list | head -n 1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1
