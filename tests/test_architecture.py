"""The house: imports run downward, files and words within their limits, packages pinned."""

import ast
import graphlib
import importlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
import torch

import xfer

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "xfer"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}

FLOORS = """
shapes errors devices runs
ops losses metrics media assets figures
pickles checkpoints backbones stylegan2
tflite landmarker perceptual detectors face_reader recognition
encoders mapper control inversion model baselines weights
data
training pipeline_inputs pipeline pipeline_outputs trials evaluation analysis
explorer explorer_panel notebooks cli
__main__
"""
"""Files and folders of the package: each may import what stands before it in this list."""
ORDER = FLOORS.split()

LIMITS = 65, 13_200, 6_000
"""Of files, their lines, and the lines of tests; of the second, lower it as the house shrinks."""

WORDS = """
studio desk moments places filming easel ledger recalling ahead cast mates sight critic game
instruments look drawn asked told taught shown kept nobody picture pictures film films
"""
"""Not used as identifiers, though prose may use some."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """Modules of xfer that a source file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    known = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return (known & MODULES.keys()) - {"xfer", module_of(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_stands_above_it(path):
    if path == PACKAGE / "__init__.py":
        return
    own = module_of(path).split(".")[1]
    assert own in ORDER, f"{own} stands nowhere: give it a place in {Path(__file__).name}"
    rooms = {name.split(".")[1] for name in imports(path)} - {own}
    above = [room for room in rooms if ORDER.index(room) > ORDER.index(own)]
    assert not above, f"{own} imports {above}"


def test_no_imports_run_in_a_circle():
    graph = {name: imports(path) for name, path in MODULES.items()}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_house_is_small():
    count = lambda path: len(path.read_text().splitlines())
    assert [path for path in FILES if count(path) > 350] == []
    sizes = len(FILES), sum(map(count, FILES)), sum(map(count, (ROOT / "tests").rglob("*.py")))
    assert all(a <= b for a, b in zip(sizes, LIMITS, strict=True)), f"{sizes}: take something out"
    assert (ROOT / "README.md").stat().st_size <= 12_000


def test_no_class_name_stands_for_two_things():
    classes = Counter(
        node.name for tree in TREES.values() for node in tree.body if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in classes.items() if times > 1] == []


def test_no_small_file_serves_a_single_other():
    importers = Counter(name for path in FILES for name in imports(path))
    alone = [path for name, path in MODULES.items() if importers[name] == 1]
    modules = [path for path in alone if path.name != "__init__.py"]
    assert [path for path in modules if len(path.read_text().splitlines()) < 30] == []


def defined_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(getattr(node, "ctx", None), ast.Store):
            yield getattr(node, "id", "") or getattr(node, "attr", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_are_plain_words_of_the_field(path):
    names = {*defined_names(TREES[path]), path.stem}
    parts = lambda name: {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    assert [name for name in names if parts(name) & set(WORDS.split())] == []


def test_importing_a_module_prints_nothing_and_takes_no_seed(capsys):
    before = torch.random.get_rng_state()
    for name in MODULES:
        importlib.import_module(name)
    assert capsys.readouterr().out == ""
    assert torch.equal(before, torch.random.get_rng_state())


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
