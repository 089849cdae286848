"""The notebook runner: order, checked parameters, errors that stay visible in the page."""

import json

import nbformat
import pytest

from xfer.errors import BadFile, BadValue, MissingFile, RunError
from xfer.notebooks import NotebooksConfig, read_parameters, run

PARAMETERS = 'preset = "small"\nsteps = 3\nrate = 0.5\nfast = False\nout = "."'


def write(folder, name, code, parameters=PARAMETERS):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(parameters), nbformat.v4.new_code_cell(code)],
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}
        },
    )
    notebook.cells[0].metadata["tags"] = ["parameters"]
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("07",)}, "no notebook '07'; there are 00_first"),
        ({"set": ("step=1",)}, "no chosen notebook has a parameter 'step'"),
        ({"set": ("steps=many",)}, "steps is of type int, as in 3; got 'many'"),
        ({"set": ("fast=1",)}, "fast is of type bool"),
        ({"set": ("steps",)}, "name=value; got 'steps'"),
    ],
)
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


def test_of_a_progress_bar_the_page_shows_the_end(tmp_path):
    code = r"""import sys, time
for text in ("0%", "\r50%", "\r100%", "\ndone\n", "\rleft out", "\r        \r"):
    print(text, end="", file=sys.stderr, flush=True)
    time.sleep(0.25)"""
    write(tmp_path / "n", "00_bar", code)
    run(config(tmp_path))
    page = (tmp_path / "r/00_bar/executed.html").read_text().rpartition("<pre>")[2]
    assert page.partition("</pre>")[0].split() == ["100%", "done"]
