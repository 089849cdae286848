"""The floors of the house: a module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "xfer"

FLOORS = [
    {"shapes", "errors", "devices", "runs"},
    {"ops", "losses", "metrics", "media", "assets", "figures"},
    {
        "backbones",
        "checkpoints",
        "files",
        "stylegan2",
        "landmarker",
        "face_reader",
        "recognition",
        "perceptual",
    },
    {"encoders", "mapper", "control", "inversion", "model", "baselines", "weights"},
    {"data"},
    {"training", "pipeline", "evaluation", "analysis"},
    {"explorer", "notebooks", "cli"},
    {"__main__"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    """The first name below the package: `xfer/ops/bias_act.py` and `xfer/ops` are both `ops`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path: Path) -> set[str]:
    """Rooms of xfer that a source file imports, at its top or inside a function."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path}: relative import; write it in full")
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("xfer.")}
    return {room for room in rooms if room in FLOOR}


SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below_its_own(path):
    own = room_of(path)
    assert own in FLOOR, f"{own} has no floor: give it one in {Path(__file__).name}"
    for room in imported_rooms(path) - {own}:
        assert FLOOR[room] <= FLOOR[own], (
            f"{own} (floor {FLOOR[own]}) imports {room} (floor {FLOOR[room]})"
        )


def test_the_top_level_is_as_designed():
    allowed = {
        "notebooks", "xfer", "data", "results", "tests", "environment.yml", "README.md",
        "pyproject.toml", "Makefile", "LICENSE", "constraints.txt", "runs", "xfer.egg-info",
    }  # fmt: skip
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert visible <= allowed, f"not part of the design: {sorted(visible - allowed)}"


def test_importing_a_module_prints_nothing_and_takes_no_seed(capsys):
    import importlib

    import torch

    before = torch.random.get_rng_state()
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        importlib.import_module(".".join(p for p in parts if p != "__init__"))
    assert capsys.readouterr().out == ""
    assert torch.equal(before, torch.random.get_rng_state())
