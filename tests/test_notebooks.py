"""The committed notebooks: nine, without outputs, one question each, parameters that can be set."""

import json
import re
from pathlib import Path

import pytest

from xfer.notebooks import read_parameters

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_nine_in_order():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"0{n}" for n in range(9)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_one_question_and_is_committed_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown" and "**Question.**" in "".join(cells[0]["source"])
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    source = "\n".join("".join(cell["source"]) for cell in code)
    assert not re.search(r"\b(if|else)\b.*\bpreset\b", source), "the path is one for all presets"
    assert "metrics.json" in source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_a_seed_or_weights_and_a_place_for_its_results(path):
    parameters = read_parameters(path)
    assert parameters["out"] == f"../results/{path.stem}"
    assert {"seed", "weights"} & parameters.keys()
