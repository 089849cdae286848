"""The notebooks as they are committed: clean, with parameters, one question each."""

import ast
import json
import shutil
from pathlib import Path

import pytest

from xfer.notebooks import METRICS, find_notebooks, read_parameters, run_notebooks

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(path, kind):
    page = json.loads(path.read_text())["cells"]
    return [(cell, "".join(cell["source"])) for cell in page if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEveryNotebook:
    def test_it_is_committed_without_outputs(self, path):
        for cell, _ in cells(path, "code"):
            assert cell["outputs"] == [] and cell["execution_count"] is None

    def test_it_asks_one_question_and_says_what_it_reads_and_writes(self, path):
        first = cells(path, "markdown")[0][1]
        assert "Question" in first and "?" in first
        assert "Reads" in first and "Writes" in first

    def test_it_has_one_cell_of_parameters_with_its_results_folder(self, path):
        tagged = [
            c for c, _ in cells(path, "code") if "parameters" in c["metadata"].get("tags", [])
        ]
        assert len(tagged) == 1
        parameters = read_parameters(path)
        assert parameters["out"] == f"../results/{path.stem}"
        assert "preset" in parameters

    def test_its_cells_are_short_and_define_nothing(self, path):
        code = cells(path, "code")
        assert len(code) <= 22
        for _, source in code:
            nodes = list(ast.walk(ast.parse(source)))
            kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
            assert not [node for node in nodes if isinstance(node, kinds)]
            others = [
                n for n in ast.parse(source).body if not isinstance(n, ast.Import | ast.ImportFrom)
            ]
            assert len(others) <= 10, source

    def test_its_last_cell_writes_the_results_file(self, path):
        assert METRICS in cells(path, "code")[-1][1]


def test_notebooks_are_numbered():
    assert [path.stem for path in find_notebooks(FOLDER)] == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_opened_in_jupyterlab_it_shows_what_is_shipped(path):
    """Whoever runs a page by hand sees trained networks, not those of a few minutes."""
    assert read_parameters(path)["preset"] == "small"


@pytest.mark.parametrize(("number", "before"), [("03", "02"), ("04", "02"), ("05", "04")])
def test_a_page_whose_predecessors_did_not_run_says_which(number, before, tmp_path):
    (outcome,) = run_at_nano(tmp_path, number)
    assert outcome.exit_code == 1
    assert "MissingFile" in outcome.error and f"run {before}" in outcome.error.replace(
        "notebook ", ""
    )


@pytest.mark.long
def test_all_run_at_nano_one_on_what_the_other_left(tmp_path):
    outcomes = run_at_nano(tmp_path)
    assert [outcome.name for outcome in outcomes if outcome.exit_code == 0] == [
        path.stem for path in NOTEBOOKS
    ], outcomes[-1].error


def run_at_nano(place, *names):
    """Run notebooks where nothing of the checkout's own results can be found."""
    shutil.copytree(FOLDER, place / "notebooks")
    return run_notebooks(
        names, preset="nano", folder=place / "notebooks", results=place / "results"
    )
