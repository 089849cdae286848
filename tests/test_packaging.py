"""pyproject.toml, environment.yml and constraints.txt say the same; no second torch sneaks in."""

import importlib
import importlib.util
import os
import re
import tomllib
from pathlib import Path

import pytest

import xfer

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"^[A-Za-z0-9_.-]+")


def canonical(requirement: str) -> str:
    """The package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", NAME.match(requirement.strip())[0]).lower()


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wanted(project):
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *(item for extra in extras for item in extra)]


def conda_lines():
    text = (ROOT / "environment.yml").read_text().split("- pip:")[1]
    return [line.strip()[2:] for line in text.splitlines() if line.strip().startswith("- ")]


def test_conda_users_get_the_same_packages(wanted):
    lines = [line for line in conda_lines() if not line.startswith("-c ")]
    listed = [line.split("  #")[0].strip() for line in lines]
    assert sorted(listed) == sorted(wanted)


def test_every_dependency_says_what_it_is_for():
    for line in conda_lines():
        assert line.startswith("-c ") or len(line.partition("  # ")[2]) > 5, line


def test_every_dependency_is_pinned_once(wanted):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    names = [canonical(pin) for pin in pins]
    assert len(names) == len(set(names))
    assert {canonical(item) for item in wanted} <= set(names)
    assert "torch==2.13.0" in pins and "torch==2.13.0" in wanted


@pytest.mark.parametrize("package", ["torchvision", "torchaudio"])
def test_packages_that_would_bring_another_torch_are_absent(package):
    assert importlib.util.find_spec(package) is None
    assert f"{package}==" not in (ROOT / "constraints.txt").read_text()


def test_the_version_is_written_once_and_agrees(project):
    assert project["version"] == xfer.__version__


def test_threads_of_a_busy_computer_do_not_wait_long_for_one_another(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    importlib.reload(xfer)
    assert os.environ["GOMP_SPINCOUNT"] == "3000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    importlib.reload(xfer)
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    importlib.reload(xfer)
    assert "GOMP_SPINCOUNT" not in os.environ
