"""Runs the numbered notebooks in order by papermill, each into a folder of its own.

results/NN_name/ holds executed.ipynb and executed.html (with the error in them if one stopped the
notebook), what the notebook saved, and run.json, written last. results/index.html links them all.
"""

import ast
import html
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xfer.errors import BadFile, BadValue, MissingFile, RunError
from xfer.runs import atomic, read_json, write_json

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class NotebooksConfig:
    """Which notebooks to run, and with which parameters."""

    names: tuple[str, ...] = field(default=(), metadata={"positional": True})
    """Numbers or names such as 03; by default all."""
    start: str = ""
    """The first one to run, such as 04."""
    preset: str = ""
    """Goes to every notebook that has a parameter of this name."""
    set: tuple[str, ...] = ()
    """Further parameters as name=value."""
    folder: str = "notebooks"
    results: str = "results"


def run(config: NotebooksConfig) -> list[Path]:
    """Run notebooks in order and stop at the first that fails; returns the executed pages.

    Raises:
        MissingFile: No such folder or notebook.
        BadValue: A parameter that no chosen notebook has, or a value of another type.
        RunError: A cell raised; the page shows where.
    """
    chosen = _choose(Path(config.folder), config.names, config.start)
    plan = _plan(chosen, config.set, config.preset)
    results, pages = Path(config.results), []
    for number, (path, parameters) in enumerate(plan.items(), 1):
        print(f"{path.stem} ({number} of {len(plan)})", file=sys.stderr, flush=True)
        out = results / path.stem
        error, seconds = _execute(path, out, parameters)
        _write_index(results)
        if error:
            why = f"{path.stem} stopped after {seconds:.0f} s: {error}"
            todo = f"see {out}/executed.html, mend it and go on with --start {path.stem[:2]}"
            raise RunError(f"{why}; {todo}")
        pages.append(out / "executed.ipynb")
        print(f"{path.stem}: done in {seconds:.0f} s", file=sys.stderr, flush=True)
    return pages


def read_parameters(path: Path) -> dict[str, Any]:
    """Names and defaults of the cell tagged `parameters`: lines `name = literal`."""
    from papermill import inspect_notebook

    try:
        found = inspect_notebook(str(path))
        return {name: ast.literal_eval(facts["default"]) for name, facts in found.items()}
    except (OSError, ValueError, SyntaxError) as error:
        why = f"its parameters cell is not lines of 'name = literal': {error}"
        raise BadFile(f"{path}: {why}") from error


def _choose(folder: Path, names: tuple[str, ...], start: str) -> list[Path]:
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise MissingFile(f"{folder} holds no numbered notebooks; run from the repository's top")
    for name in (*names, start):
        if not any(path.stem.startswith(name) for path in notebooks):
            known = ", ".join(path.stem for path in notebooks)
            raise BadValue(f"there is no notebook '{name}'; there are {known}")
    first = next(path for path in notebooks if path.stem.startswith(start))
    return [path for path in notebooks if path >= first and path.stem.startswith(names or "")]


def _plan(chosen: list[Path], settings: tuple[str, ...], preset: str) -> dict[Path, dict[str, Any]]:
    """The parameters of each notebook, converted to the type of its default."""
    wanted = {"preset": preset} if preset else {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not (sign and name.isidentifier()):
            raise BadValue(f"a parameter is set as name=value; got '{text}'")
        wanted[name] = value
    known = {path: read_parameters(path) for path in chosen}
    for name in wanted:
        if not any(name in parameters for parameters in known.values()):
            has = sorted({name for parameters in known.values() for name in parameters})
            raise BadValue(f"no chosen notebook has a parameter '{name}'; they have {has}")
    return {
        path: {name: _convert(name, wanted[name], has[name]) for name in wanted if name in has}
        for path, has in known.items()
    }


def _convert(name: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text.capitalize() if isinstance(default, bool) else text)
        if isinstance(value, bool) == isinstance(default, bool):
            return type(default)(value)
    except (ValueError, SyntaxError, TypeError):
        pass
    kind = type(default).__name__
    raise BadValue(f"{name} is of type {kind}, as in {default!r}; got '{text}'")


def _execute(path: Path, out: Path, parameters: dict[str, Any]) -> tuple[str, float]:
    """Run one notebook in its own folder; returns the error in one line, and the seconds."""
    import papermill

    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").unlink(missing_ok=True)
    if "out" in read_parameters(path):
        parameters = {"out": os.path.relpath(out, path.parent)} | parameters
    begin, error, page = time.monotonic(), "", out / "executed.ipynb"
    os.environ.pop("MPLBACKEND", None)  # notebooks choose their own
    try:
        papermill.execute_notebook(
            path, page, parameters, cwd=path.parent, progress_bar=sys.stderr.isatty(),
            kernel_name="python3", language="python", extra_arguments=["--log-level=ERROR"],
        )  # fmt: skip
    except papermill.PapermillExecutionError as failure:
        error = f"{failure.ename}: {(failure.evalue.strip() or '-').splitlines()[0]}"
    seconds = time.monotonic() - begin
    _write_html(page)
    write_json(
        out / "run.json",
        {"notebook": path.stem, "parameters": parameters, "error": error, "seconds": seconds},
    )
    return error, seconds


def _write_html(page: Path) -> None:
    """The executed notebook as a page that needs nothing from elsewhere."""
    import nbformat
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    # Of a progress bar its end is enough.
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(), enabled=True)
    notebook, name = nbformat.read(page, as_version=4), page.parent.name
    notebook.metadata.pop("widgets", None)  # which would load scripts from elsewhere
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [x for x in cell.outputs if WIDGET not in x.get("data", ())]
    text, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": name}})
    with atomic(page.with_suffix(".html")) as part:
        part.write_text(text, encoding="utf-8")


def _write_index(results: Path) -> None:
    rows = []
    for record in sorted(results.glob("[0-9][0-9]_*/run.json")):
        run = read_json(record)
        state = html.escape(run["error"]) or f"{run['seconds']:.0f} s"
        name = html.escape(run["notebook"])
        rows.append(f"<li><a href='{name}/executed.html'>{name}</a> {state}</li>")
    with atomic(results / "index.html") as part:
        part.write_text(
            "<!doctype html><meta charset='utf-8'><title>xfer: results</title>"
            f"<h1>Executed notebooks</h1><ul>{''.join(rows)}</ul>",
            encoding="utf-8",
        )
