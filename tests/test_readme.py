"""What the README names exists: commands, files, verbs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake (\w+)\b", TEXT))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_verb_explains_itself():
    verbs = set(re.findall(r"^    xfer ([a-z]+(?: [a-z]+)?)(?= )", TEXT, re.MULTILINE))
    assert {"weights list", "train generator", "world frames"} <= verbs
    for verb in verbs:
        words = verb.split() if verb.split()[0] != "prepare" else ["prepare"]
        done = subprocess.run(
            [sys.executable, "-m", "xfer.cli", *words, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, f"{verb}: {done.stderr}"


def test_every_link_inside_the_project_leads_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
