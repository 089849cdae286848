"""The command line: quick help, thin verbs, errors as one message."""

import subprocess
import sys

import pytest
import torch
from by_rule import rosinality_generator, state

from xfer import cli


def test_help_starts_without_torch():
    """A second or two of waiting for a help text would be felt at every turn."""
    code = (
        "import sys, xfer.cli\n"
        "try: xfer.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "False"
    assert "weights" in done.stdout and "StyleGAN2" in done.stdout


def test_the_module_is_the_command():
    shown = [
        subprocess.run([sys.executable, *way, "--version"], capture_output=True, timeout=60).stdout
        for way in (["-m", "xfer"], ["-m", "xfer.cli"])
    ]
    assert shown[0] == shown[1] and shown[0].startswith(b"xfer 0.")


@pytest.mark.parametrize("group", ["weights", "train", "world"])
def test_every_group_explains_itself(group, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([group, "--help"])
    assert ended.value.code == 0
    assert "subcommands" in capsys.readouterr().out


def test_an_error_is_one_message_without_traceback(tmp_path, capsys):
    assert cli.main(["weights", "inspect", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert (
        shown.out == "" and shown.err == f"xfer: {tmp_path} is a folder; a checkpoint is one file\n"
    )


def test_a_slip_of_the_keyboard_ends_with_status_two(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["weights", "lits"])
    assert ended.value.code == 2
    assert "list" in capsys.readouterr().err


def test_weights_are_listed_inspected_verified_and_converted(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XFER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "g.pt"
    torch.save({"g_ema": state(rosinality_generator(16, styles=12, mapping=2, top=6))}, path)

    def run(*arguments: str) -> str:
        assert cli.main(["weights", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    assert "stylegan2-ffhq-config-f (to fetch)" in run("list")
    assert "layout rosinality" in run("inspect", path)
    assert "can be read (generator)" in run("verify", path)
    converted = run("convert", path).strip()
    assert converted == str(tmp_path / "g-xfer.safetensors")
    assert "is whole" in run("verify", converted)
    assert "network generator, layout xfer" in run("inspect", converted)
    assert cli.main(["weights", "fetch", "nothing-of-that-name"]) == 2
    assert "public files are" in capsys.readouterr().err
