"""pyproject.toml, environment.yml and constraints.txt say the same; no second torch sneaks in."""

import re
import tomllib
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import xfer

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]


def canonical(requirement: str) -> str:
    """The package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_conda_users_get_the_same_packages_and_one_version_is_written():
    text = (ROOT / "environment.yml").read_text().split("- pip:")[1]
    lines = re.findall(r"^ *- (?!-c )(.*?)(?:  #.*)?$", text, re.MULTILINE)
    assert sorted(line.strip() for line in lines) == sorted(WANTED)
    assert PROJECT["version"] == xfer.__version__


def test_every_dependency_is_pinned_once_and_none_brings_another_torch():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    names = [canonical(pin) for pin in pins]
    assert len(names) == len(set(names)) and {canonical(item) for item in WANTED} <= set(names)
    assert "torch==2.13.0" in pins and "torch==2.13.0" in WANTED
    for package in ("torchvision", "torchaudio"):
        assert find_spec(package) is None and package not in names
