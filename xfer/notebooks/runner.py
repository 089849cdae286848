"""Runs the numbered notebooks in order: checked parameters, a results folder each, a clear verdict.

results/NN_name/
  executed.ipynb  the page as it ran, with the error in it if it failed
  executed.html   the same for a browser
  figures/        what the notebook saved
  metrics.json    written by the notebook's last cell: its presence says that it got there
  run.json        written by the runner last of all: exit code, seconds, parameters, environment,
                  and what the notebook has written, which the next run removes first

Nothing of an earlier run is then taken for this one's; what somebody else put there stays.

results/index.html shows them all; it is written anew after each notebook (see `page`).
"""

import ast
import contextlib
import importlib.util
import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfer.errors import BadFile, BadValue, MissingFile, MissingPackage
from xfer.notebooks.page import write_page
from xfer.runs import Progress, atomic, clock, environment, read_json, write_json

NUMBERED = re.compile(r"\d\d_\w+")
KERNEL = "xfer-runner"
METRICS = "metrics.json"
FIGURES = "figures"


@dataclass(frozen=True)
class Outcome:
    """How one notebook went."""

    name: str
    exit_code: int
    seconds: float
    error: str = ""


def find_notebooks(folder: str | Path = "notebooks") -> list[Path]:
    """The numbered notebooks of a folder in their order."""
    paths = sorted(Path(folder).glob("*.ipynb"))
    found = [path for path in paths if NUMBERED.fullmatch(path.stem)]
    if not found:
        raise MissingFile(f"there are no numbered notebooks in {folder}; run from the repository")
    return found


def choose(notebooks: Sequence[Path], names: Sequence[str], start: str = "") -> list[Path]:
    """The notebooks of these names (or numbers, or any beginning), from `start` on."""
    chosen = [path for path in notebooks if not names or _is_named(path, names)]
    for name in (*names, *([start] if start else [])):
        if not any(_is_named(path, [name]) for path in notebooks):
            known = ", ".join(path.stem for path in notebooks)
            raise BadValue(f"there is no notebook '{name}'; there are {known}")
    if start:
        first = next(path for path in notebooks if _is_named(path, [start]))
        chosen = [path for path in chosen if path.stem >= first.stem]
    return chosen


def _is_named(path: Path, names: Sequence[str]) -> bool:
    return any(path.stem.startswith(name.removesuffix(".ipynb")) for name in names)


def read_parameters(path: Path) -> dict[str, Any]:
    """Names and defaults in the notebook's `parameters` cell: independent literals."""
    try:
        cells = json.loads(path.read_text())["cells"]
        tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
        tree = ast.parse("".join(tagged[0]["source"])) if tagged else ast.parse("")
        return dict(_literal(node) for node in tree.body)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise BadFile(
            f"{path}: the parameters cell should hold lines 'name = literal': {error}"
        ) from error


def _literal(node: ast.stmt) -> tuple[str, Any]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        return node.target.id, ast.literal_eval(node.value)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, ast.literal_eval(node.value)
    raise ValueError(f"line {node.lineno} is no plain assignment")


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as a dictionary."""
    split = [text.partition("=") for text in settings]
    for text, (name, sign, _) in zip(settings, split, strict=True):
        if not (sign and name.isidentifier()):
            raise BadValue(f"a parameter is set as name=value; got '{text}'")
    return {name: value for name, _, value in split}


def convert(name: str, text: str, default: Any) -> Any:
    """The text as a value of the default's type."""
    kind = type(default)
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, str):
            return text
        if isinstance(default, (int, float)):
            return kind(text)
        value = ast.literal_eval(text)
    except (ValueError, KeyError, SyntaxError) as error:
        if default is None:
            return text
        raise BadValue(
            f"{name} is of type {kind.__name__}, as in {default!r}; got '{text}'"
        ) from error
    if default is not None and not isinstance(value, kind):
        raise BadValue(f"{name} is of type {kind.__name__}, as in {default!r}; got '{text}'")
    return value


def read_choices(path: Path, name: str) -> list[str]:
    """What a notebook's code can make of a parameter: the keys of every `{...}[name]` in it.

    Empty where it is not looked up so, and any value may do.
    """
    found: list[str] = []
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        with contextlib.suppress(SyntaxError):  # a line for the shell or for Jupyter
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if (
                    isinstance(node, ast.Subscript)
                    and isinstance(node.value, ast.Dict)
                    and isinstance(node.slice, ast.Name)
                    and node.slice.id == name
                ):
                    keys = [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
                    found = [key for key in keys if key in found or not found]
    return found


def plan(
    notebooks: Sequence[Path], preset: str | None, settings: dict[str, str]
) -> dict[Path, dict[str, Any]]:
    """The parameters of each notebook; a setting that none of them has is refused, and so is a
    preset that one of them does not know."""
    known = {path: read_parameters(path) for path in notebooks}
    for name in settings:
        if not any(name in parameters for parameters in known.values()):
            has = "; ".join(f"{path.stem}: {', '.join(p) or 'none'}" for path, p in known.items())
            raise BadValue(f"no chosen notebook has a parameter '{name}'. Parameters are: {has}")
    wanted = settings | ({"preset": preset} if preset else {})
    for path in notebooks if "preset" in wanted else ():
        choices = read_choices(path, "preset")
        if choices and wanted["preset"] not in choices:
            raise BadValue(
                f"{path.stem} knows the presets {', '.join(choices)}; got '{wanted['preset']}'"
            )
    return {
        path: {n: convert(n, text, has[n]) for n, text in wanted.items() if n in has}
        for path, has in known.items()
    }


def run_notebooks(
    names: Sequence[str] = (),
    preset: str | None = None,
    settings: Sequence[str] = (),
    start: str = "",
    folder: str | Path = "notebooks",
    results: str | Path = "results",
) -> list[Outcome]:
    """Run notebooks in order and stop at the first that fails; all results stay.

    Args:
        names: Which, by number or name; all by default.
        preset: Goes to every notebook that has a parameter of this name.
        settings: Texts `name=value`, checked against the notebooks' own parameters.
        start: The first one to run, such as '04'.

    Raises:
        BadValue: A name or parameter is unknown, or a value is of another type.
    """
    if importlib.util.find_spec("papermill") is None:
        raise MissingPackage("running notebooks needs papermill: pip install 'xfer[lab]'")
    chosen = choose(find_notebooks(folder), names, start)
    given = parse_settings(settings)
    parameters = plan(chosen, preset, given)
    outcomes = []
    for number, path in enumerate(chosen, 1):
        print(f"{path.stem} ({number} of {len(chosen)})", file=sys.stderr, flush=True)
        outcome = run_notebook(path, Path(results) / path.stem, parameters[path])
        outcomes.append(outcome)
        write_page(results)
        state = f"failed: {outcome.error}" if outcome.exit_code else "done"
        print(f"{path.stem}: {state}, {clock(outcome.seconds)}", file=sys.stderr, flush=True)
        if outcome.exit_code:
            again = _command(chosen[number - 1 :], names, preset, given, results)
            print(f"the page shows the error; go on with: {again}", file=sys.stderr, flush=True)
            break
    return outcomes


def _command(
    left: Sequence[Path],
    names: Sequence[str],
    preset: str | None,
    settings: dict[str, str],
    results: str | Path,
) -> str:
    """What to type to run the notebooks that are left as the others were run.

    A setting that none of them has would be refused, and is left out.
    """
    known = {name for path in left for name in read_parameters(path)}
    words = ["xfer", "notebooks", "run", *names, "--from", left[0].stem[:2]]
    words += ["--preset", preset] if preset else []
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"] if name in known else []
    words += ["--results", str(results)] if str(results) != "results" else []
    return shlex.join(words)


def run_notebook(path: Path, out: Path, parameters: dict[str, Any]) -> Outcome:
    """Execute one notebook into its results folder."""
    out.mkdir(parents=True, exist_ok=True)
    _clear(out)
    before = _times(out)
    if "out" in read_parameters(path):
        # As the notebook sees it from its own folder, so that the page names no machine's paths.
        parameters = {"out": os.path.relpath(out, path.parent)} | parameters
    begin, error = time.monotonic(), _execute(path, out / "executed.ipynb", parameters)
    seconds = time.monotonic() - begin
    _write_html(out / "executed.ipynb")
    if not error and not (out / METRICS).exists():
        error = f"it ended without writing {METRICS}, which its last cell should do"
    outcome = Outcome(path.stem, int(bool(error)), round(seconds, 1), error)
    written = [name for name, time in _times(out).items() if before.get(name) != time]
    record = {"parameters": parameters, "exit_code": outcome.exit_code, "error": error}
    record["written"] = sorted(written)
    write_json(out / "run.json", record | {"seconds": outcome.seconds} | environment())
    return outcome


def _clear(out: Path) -> None:
    """Remove what the run before has written, and figures, which are a notebook's alone."""
    try:
        written = [out / name for name in read_json(out / "run.json").get("written", [])]
    except BadFile:
        written = []
    figures = [path for path in (out / FIGURES).rglob("*") if path.is_file()]
    inside = [path for path in written if path.resolve().is_relative_to(out.resolve())]
    for path in (out / METRICS, out / "run.json", *figures, *inside):
        path.unlink(missing_ok=True)


def _times(out: Path) -> dict[str, int]:
    """When each file of a folder was written."""
    files = (path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in files}


def _execute(path: Path, page: Path, parameters: dict[str, Any]) -> str:
    """Run the page; the error that stopped it, in one line, or nothing."""
    import papermill

    _register_engine()
    with _own_kernel():
        try:
            papermill.execute_notebook(
                str(path), str(page), parameters, engine_name=KERNEL, kernel_name=KERNEL,
                language="python", cwd=str(path.parent), progress_bar=False,
            )  # fmt: skip
        except papermill.PapermillExecutionError as failure:
            return f"cell {failure.exec_count}: {failure.ename}: {_first_line(failure.evalue)}"
        # A kernel that dies or does not start ends in exceptions of several libraries.
        except Exception as failure:
            return f"{type(failure).__name__}: {_first_line(str(failure))}"
    return ""


def _write_html(page: Path) -> None:
    """The executed page for a browser, with nothing that has to be fetched."""
    if not page.exists():
        return
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    text, _ = exporter.from_filename(str(page))
    with atomic(page.with_suffix(".html")) as part:
        part.write_text(text)


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]


@contextlib.contextmanager
def _own_kernel() -> Iterator[None]:
    """A kernel of the running Python, whatever kernels the machine has under other names."""
    command = [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR"]
    command += ["-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "xfer", "language": "python"}
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "kernels" / KERNEL / "kernel.json", spec)
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def _register_engine() -> None:
    """papermill's engine, telling how far it is: its own bar freezes where nobody looks."""
    from papermill.engines import NBClientEngine, papermill_engines

    class Telling(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            code = sum(cell.cell_type == "code" for cell in nb_man.nb.cells)
            progress, complete = Progress(code, "  cells", every_seconds=10), nb_man.cell_complete

            def told(cell: Any, *args: Any, **kwargs: Any) -> None:
                complete(cell, *args, **kwargs)
                if cell.cell_type == "code":
                    progress.advance()

            nb_man.cell_complete = told
            try:
                super().execute_managed_notebook(nb_man, kernel_name, **options)
            finally:
                progress.close()

    papermill_engines.register(KERNEL, Telling)
