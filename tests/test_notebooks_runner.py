"""The notebook runner: order, checked parameters, one verdict each, failures that stay visible."""

import json
import sys

import nbformat
import pytest

from xfer import cli
from xfer.errors import BadValue, MissingFile
from xfer.notebooks import (
    choose,
    convert,
    find_notebooks,
    parse_settings,
    plan,
    read_parameters,
    run_notebooks,
)

FINISH = "import json, pathlib\npathlib.Path(out, 'metrics.json').write_text(json.dumps({'n': n}))"


def notebook(folder, name, *cells, parameters="preset = 'small'\nn = 3\nout = '.'"):
    page = nbformat.v4.new_notebook()
    page.cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *cells)]
    page.cells[0].metadata["tags"] = ["parameters"]
    folder.mkdir(exist_ok=True)
    nbformat.write(page, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def test_notebooks_run_in_order_from_the_one_asked_for(tmp_path):
    for name in ("02_b", "00_a", "10_c", "draft"):
        notebook(tmp_path, name)
    found = find_notebooks(tmp_path)
    assert [path.stem for path in found] == ["00_a", "02_b", "10_c"]
    assert [path.stem for path in choose(found, [], "02")] == ["02_b", "10_c"]
    assert [path.stem for path in choose(found, ["10", "00_a.ipynb"])] == ["00_a", "10_c"]
    with pytest.raises(BadValue, match="no notebook '07'; there are 00_a, 02_b, 10_c"):
        choose(found, ["07"])
    with pytest.raises(MissingFile, match="no numbered notebooks"):
        find_notebooks(tmp_path / "none")


def test_parameters_are_read_without_running_anything(tmp_path):
    path = notebook(tmp_path, "00_a", parameters="n: int = 3\nx = -1.5\nwho = ['a']\nnone = None")
    assert read_parameters(path) == {"n": 3, "x": -1.5, "who": ["a"], "none": None}


@pytest.mark.parametrize(
    "text, default, value",
    [
        ("7", 3, 7),
        ("2", 0.5, 2.0),
        ("False", True, False),
        ("abc", "x", "abc"),
        ("5", "x", "5"),
        ("[1, 2]", [0], [1, 2]),
        ("4", None, 4),
        ("some/folder", None, "some/folder"),
    ],
)
def test_a_value_takes_the_type_of_its_default(text, default, value):
    found = convert("n", text, default)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text, default", [("x", 3), ("1.5", 3), ("yes", True), ("3", [1]), ("[", [1])]
)
def test_a_value_of_another_type_is_refused(text, default):
    with pytest.raises(BadValue, match=r"n is of type .* got"):
        convert("n", text, default)


def test_a_parameter_that_no_notebook_has_is_refused_before_anything_runs(tmp_path):
    paths = [notebook(tmp_path, "00_a"), notebook(tmp_path, "01_b", parameters="m = 1")]
    assert plan(paths, "nano", {"m": "5"}) == {paths[0]: {"preset": "nano"}, paths[1]: {"m": 5}}
    with pytest.raises(
        BadValue, match=r"no chosen notebook has a parameter 'k'.*00_a: preset, n, out"
    ):
        plan(paths, None, {"k": "1"})
    with pytest.raises(BadValue, match="name=value; got 'k'"):
        parse_settings(["k"])


def test_a_preset_that_a_notebook_does_not_know_is_refused_before_anything_runs(tmp_path):
    table = "people = {'nano': 1, 'small': 2}[preset]"
    strict = notebook(tmp_path, "00_a", "%matplotlib inline", table)
    lenient = notebook(tmp_path, "01_b", table.replace("[preset]", ".get(preset, 3)"))
    assert plan([lenient], "paper", {}) == {lenient: {"preset": "paper"}}
    assert plan([strict, lenient], "small", {})[strict] == {"preset": "small"}
    for given in (("paper", {}), (None, {"preset": "paper"})):
        with pytest.raises(BadValue, match="00_a knows the presets nano, small; got 'paper'"):
            plan([lenient, strict], *given)


def test_each_notebook_gets_its_results_folder(tmp_path):
    notebook(tmp_path / "nb", "00_a", "n = n * 2", FINISH)
    notebook(tmp_path / "nb", "01_b", "import sys; print(sys.executable)", FINISH)
    outcomes = run_notebooks(
        preset="nano", settings=["n=5"], folder=tmp_path / "nb", results=tmp_path / "results"
    )
    assert [(o.name, o.exit_code) for o in outcomes] == [("00_a", 0), ("01_b", 0)]
    first = tmp_path / "results/00_a"
    assert json.loads((first / "metrics.json").read_text()) == {"n": 10}
    record = json.loads((first / "run.json").read_text())
    assert record["exit_code"] == 0
    assert record["parameters"] == {"out": "../results/00_a", "preset": "nano", "n": 5}
    assert sys.executable in (tmp_path / "results/01_b/executed.ipynb").read_text()


def test_nothing_of_an_earlier_run_is_left_but_what_others_put_there(tmp_path):
    """A figure that only the first run draws is not shown as the second's."""
    draw = "folder = pathlib.Path(out, 'figures'); folder.mkdir(exist_ok=True)\n"
    draw += "[(folder / f'{i}.png').write_text('') for i in range(n)]\n"
    draw += "[pathlib.Path(out, f'{i}.csv').write_text('a') for i in range(n)]"
    notebook(tmp_path / "nb", "00_a", "import pathlib\n" + draw, FINISH)
    places = {"folder": tmp_path / "nb", "results": tmp_path / "results"}
    run_notebooks(settings=["n=2"], **places)
    folder = tmp_path / "results/00_a"
    (folder / "saved").mkdir()
    (folder / "saved/mine.png").write_text("")
    (tmp_path / "outside").write_text("")
    record = json.loads((folder / "run.json").read_text())
    assert {"figures/1.png", "1.csv", "executed.ipynb"} <= set(record["written"])
    (folder / "run.json").write_text(json.dumps(record | {"written": ["1.csv", "../../outside"]}))
    run_notebooks(settings=["n=1"], **places)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"figures/0.png", "0.csv", "saved/mine.png"} <= left
    assert not left & {"figures/1.png", "1.csv"}
    assert (tmp_path / "outside").exists()


def test_a_failing_notebook_shows_its_error_and_leaves_the_others_alone(tmp_path, capsys):
    notebook(tmp_path / "nb", "00_a", FINISH)
    notebook(tmp_path / "nb", "01_b", "1 / 0", FINISH)
    notebook(tmp_path / "nb", "02_c", FINISH)
    places = {"folder": tmp_path / "nb", "results": tmp_path / "results"}
    run_notebooks(["02"], **places)
    before = (tmp_path / "results/02_c/executed.ipynb").read_bytes()
    outcomes = run_notebooks(**places)
    assert [(o.name, o.exit_code) for o in outcomes] == [("00_a", 0), ("01_b", 1)]
    assert "ZeroDivisionError" in outcomes[1].error
    assert "ZeroDivisionError" in (tmp_path / "results/01_b/executed.ipynb").read_text()
    assert json.loads((tmp_path / "results/01_b/run.json").read_text())["exit_code"] == 1
    assert (tmp_path / "results/02_c/executed.ipynb").read_bytes() == before
    assert "xfer notebooks run --from 01" in capsys.readouterr().err


def ended(words):
    """The exit code of the command."""
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    return stop.value.code


def test_the_verb_ends_with_the_worst_exit_code_and_goes_on_from_where_it_is_told(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name, cell in (("00_a", "1 / 0"), ("01_b", "n = 1"), ("02_c", "n = 2")):
        notebook(tmp_path / "notebooks", name, cell, FINISH)
    assert ended(["notebooks", "run", "--preset", "small"]) == 1
    assert "go on with: xfer notebooks run --from 00 --preset small" in capsys.readouterr().err
    assert not (tmp_path / "results/01_b").exists()
    assert ended(["notebooks", "run", "--from", "01", "--set", "n=5"]) == 0
    done = sorted(path.parent.name for path in (tmp_path / "results").glob("*/metrics.json"))
    assert done == ["01_b", "02_c"]
    assert (tmp_path / "results/index.html").exists()


def test_the_command_that_goes_on_after_a_failure_keeps_all_that_was_given(tmp_path, capsys):
    """Only a setting of a notebook that is done is left out: it would be refused."""
    notebook(tmp_path / "nb", "00_a", FINISH, parameters="n = 3\nseed = 1\nout = '.'")
    notebook(tmp_path / "nb", "01_b", "1 / 0", parameters="title = ''\nout = '.'")
    results = str(tmp_path / "my results")
    given = {"preset": "nano", "settings": ["seed=2", "title=a b"], "results": results}
    run_notebooks(["00", "01"], folder=tmp_path / "nb", **given)
    command = capsys.readouterr().err.strip().split("go on with: ")[1]
    assert command == (
        f"xfer notebooks run 00 01 --from 01 --preset nano --set 'title=a b' --results '{results}'"
    )
    (outcome,) = run_notebooks(["00", "01"], "nano", ["title=a b"], "01", tmp_path / "nb", results)
    assert outcome.name == "01_b"


def test_a_notebook_that_writes_no_results_or_loses_its_kernel_has_failed(tmp_path):
    notebook(tmp_path / "nb", "00_a", "n = 1")
    notebook(tmp_path / "nb", "01_b", "import os; os._exit(3)", FINISH)
    places = {"folder": tmp_path / "nb", "results": tmp_path / "results"}
    (outcome,) = run_notebooks(["00"], **places)
    assert outcome.exit_code == 1 and "without writing metrics.json" in outcome.error
    (outcome,) = run_notebooks(["01"], **places)
    assert outcome.exit_code == 1 and "DeadKernelError" in outcome.error
