"""The committed notebooks, and their runner: order, checked parameters, errors left visible."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from xfer.errors import BadFile, BadValue, MissingFile, RunError
from xfer.notebooks import NotebooksConfig, read_parameters, run

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_one_question_and_is_committed_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown" and "**Question.**" in "".join(cells[0]["source"])
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    source = "\n".join("".join(cell["source"]) for cell in code)
    assert not re.search(r"\b(if|else)\b.*\bpreset\b", source), "the path is one for all presets"
    assert "metrics.json" in source
    parameters = read_parameters(path)
    assert parameters["out"] == f"../results/{path.stem}"
    assert {"seed", "weights"} & parameters.keys()


PARAMETERS = 'preset = "small"\nsteps = 3\nrate = 0.5\nfast = False\nout = "."'


def write(folder, name, code, parameters=PARAMETERS):
    kernel = {"name": "python3", "language": "python", "display_name": "Python"}
    cells = [nbformat.v4.new_code_cell(source) for source in (parameters, code)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


SAVE = """import json, pathlib
pathlib.Path(out, "got.json").write_text(json.dumps([preset, steps, rate, fast]))"""


def config(tmp_path, **more):
    return NotebooksConfig(folder=str(tmp_path / "n"), results=str(tmp_path / "r"), **more)


def test_parameters_reach_the_notebook_in_the_type_of_its_defaults(tmp_path):
    write(tmp_path / "n", "00_first", SAVE)
    run(config(tmp_path, preset="large", set=("steps=7", "rate=2", "fast=true")))
    assert json.loads((tmp_path / "r/00_first/got.json").read_text()) == ["large", 7, 2.0, True]
    assert (tmp_path / "r/00_first/executed.html").stat().st_size > 1000
    assert "00_first" in (tmp_path / "r/index.html").read_text()


def test_a_failing_notebook_stops_the_run_and_shows_its_error(tmp_path):
    write(tmp_path / "n", "00_first", "raise ValueError('the seventh seal')")
    write(tmp_path / "n", "01_second", SAVE)
    with pytest.raises(RunError, match=r"00_first stopped .*seventh seal.*--start 00"):
        run(config(tmp_path))
    assert "seventh seal" in (tmp_path / "r/00_first/executed.html").read_text()
    assert not (tmp_path / "r/01_second").exists()
    run(config(tmp_path, start="01"))
    assert (tmp_path / "r/01_second/got.json").exists()


@pytest.mark.parametrize("settings, message", [
    ({"names": ("07",)}, "no notebook '07'; there are 00_first"),
    ({"set": ("step=1",)}, "no chosen notebook has a parameter 'step'"),
    ({"set": ("steps=many",)}, "steps is of type int, as in 3; got 'many'"),
    ({"set": ("fast=1",)}, "fast is of type bool"),
    ({"set": ("steps",)}, "name=value; got 'steps'"),
])  # fmt: skip
def test_wrong_names_and_values_are_refused_before_anything_runs(tmp_path, settings, message):
    write(tmp_path / "n", "00_first", SAVE)
    with pytest.raises(BadValue, match=message):
        run(config(tmp_path, **settings))
    assert not (tmp_path / "r").exists()


def test_a_folder_without_notebooks_and_a_parameters_cell_with_code_are_refused(tmp_path):
    with pytest.raises(MissingFile, match="holds no numbered notebooks"):
        run(config(tmp_path))
    write(tmp_path / "n", "00_first", SAVE, parameters="steps = len('abc')")
    with pytest.raises(BadFile, match="not lines of 'name = literal'"):
        read_parameters(tmp_path / "n" / "00_first.ipynb")
