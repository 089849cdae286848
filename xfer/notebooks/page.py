"""results/index.html: every figure, film and table that the notebooks left, on one page.

Plain HTML that opens from the disk: no server, no scripts, nothing fetched. Links are relative, so
the results folder can be moved or sent as it is.
"""

import html
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from xfer.runs import atomic, clock

PICTURES, FILMS = (".png", ".jpg", ".svg", ".gif"), (".mp4", ".webm")
MOST_ROWS = 30
"""Longer tables are folded, and shown in part."""
SAMPLES = "demo"
"""Where `make demo` draws samples before the notebooks run."""

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h2 { margin-top: 2.5em; border-bottom: 1px solid #8886; }
figure { margin: 1.2em 0; } figcaption { font-size: 13px; opacity: .75; }
img, video { max-width: 100%; background: #fff; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; border-bottom: 1px solid #8884; text-align: left; }
.failed { color: #c22; font-weight: 600; } .done { color: #2f8f5b; }
"""


def write_page(results: str | Path = "results") -> Path:
    """Write index.html of a results folder from what lies in it; gives the page's path.

    A notebook's part shows how it went (run.json), its figures and films, its tables and the
    numbers of metrics.json. A table that was written for reading (Markdown) is shown as it is, and
    the same for LaTeX linked; other numbers (CSV) are shown where they are few.
    """
    results = Path(results)
    folders = sorted(path.parent for path in results.glob("[0-9][0-9]_*/run.json"))
    parts = [part for folder in folders for part in _notebook(folder, results)]
    names = "".join(f'<li><a href="#{f.name}">{_title(f)}</a></li>' for f in folders)
    body = [
        "<h1>xfer: results</h1>",
        "<p>All faces here are synthetic unless a figure says otherwise.</p>",
        f"<ol start='0'>{names}</ol>" if names else "<p>No notebook has run yet.</p>",
        *_samples(results),
        *parts,
    ]
    page = results / "index.html"
    head = f'<meta charset="utf-8"><title>xfer: results</title><style>{STYLE}</style>'
    text = f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n'
    with atomic(page) as part:
        part.write_text(text + "\n".join(body) + "\n</body></html>\n")
    return page


def _notebook(folder: Path, results: Path) -> Iterator[str]:
    record = _json(folder / "run.json")
    yield f'<h2 id="{folder.name}">{html.escape(_title(folder))}</h2>'
    yield _verdict(folder, record, results)
    for path in sorted(folder.rglob("*")):
        yield from _shown(path, results)
    if numbers := _flat(_json(folder / "metrics.json")):
        table = pd.DataFrame(numbers.items(), columns=["number", "value"])
        yield f"<details><summary>all numbers</summary>{_html(table)}</details>"


def _samples(results: Path) -> Iterator[str]:
    """What the generator draws, if it was asked."""
    pictures = sorted(p for p in (results / SAMPLES).glob("*") if p.suffix in PICTURES)
    if pictures:
        yield "<h2>Samples of the generator</h2>"
    for path in pictures:
        yield from _shown(path, results)


def _shown(path: Path, results: Path) -> Iterator[str]:
    """One file as a figure; nothing where it is not for looking at."""
    link = lambda p, text: (
        f'<a href="{quote(p.relative_to(results).as_posix())}">{html.escape(text)}</a>'
    )
    source = quote(path.relative_to(results).as_posix())
    name = html.escape(path.stem.replace("_", " "))
    caption = link(path, path.stem.replace("_", " "))
    if path.suffix in PICTURES:
        body = f'<img loading="lazy" src="{source}" alt="{name}">'
    elif path.suffix in FILMS:
        body = f'<video controls loop muted preload="metadata" src="{source}"></video>'
    elif path.suffix == ".md":
        body = _markdown(path)
        others = [p for e in (".tex", ".csv") if (p := path.with_suffix(e)).exists()]
        caption = ", ".join([caption, *(link(p, p.suffix[1:]) for p in others)])
    elif path.suffix == ".csv" and not path.with_suffix(".md").exists():
        body = _table(path)
    else:
        return
    yield f"<figure>{body}<figcaption>{caption}</figcaption></figure>"


def _verdict(folder: Path, record: dict[str, Any], results: Path) -> str:
    state = "failed" if record.get("exit_code") else "done"
    preset = record.get("parameters", {}).get("preset")
    facts = [f'<span class="{state}">{state}</span> in {clock(record.get("seconds", 0))}']
    facts += [f"preset {html.escape(str(preset))}"] if preset else []
    for page, text in (("executed.html", "the page"), ("executed.ipynb", "as a notebook")):
        if (folder / page).exists():
            link = quote((folder / page).relative_to(results).as_posix())
            facts.append(f'<a href="{link}">{text}</a>')
    error = html.escape(record.get("error") or "")
    return f"<p>{' · '.join(facts)}</p>" + (f"<pre class='failed'>{error}</pre>" if error else "")


def _title(folder: Path) -> str:
    """The heading of the page that ran; the folder's name where there is none."""
    try:
        cells = json.loads((folder / "executed.ipynb").read_text())["cells"]
        lines = "".join(c for cell in cells for c in cell["source"]).splitlines()
        return next(line[2:] for line in lines if line.startswith("# "))
    except (OSError, ValueError, KeyError, StopIteration):
        return folder.name.replace("_", " ")


def _table(path: Path) -> str:
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:
        return f"<p>{html.escape(path.name)} cannot be read: {html.escape(str(error))}</p>"
    left = len(table) - MOST_ROWS
    if left <= 0:
        return _html(table)
    shown = f"{_html(table.head(MOST_ROWS))}<p>and {left} rows more in the file</p>"
    return f"<details><summary>{len(table)} rows</summary>{shown}</details>"


def _markdown(path: Path) -> str:
    """The tables of a Markdown file, and other lines as they are: what `tables` writes."""
    try:
        lines = path.read_text().splitlines()
    except (ValueError, OSError) as error:
        return f"<p>{html.escape(path.name)} cannot be read: {html.escape(str(error))}</p>"
    parts: list[str] = []
    for is_table, group in itertools.groupby(lines, key=lambda line: line.startswith("|")):
        if is_table:
            head, *rows = (_cells(line) for line in group)
            body = [row for row in rows if not all(set(cell) <= {"-", ":"} for cell in row)]
            parts += [_grid(head, body)]
        else:
            parts += [f"<p>{html.escape(line)}</p>" for line in group if line.strip()]
    return "".join(parts)


def _cells(line: str) -> list[str]:
    """The cells of a row, whose own bars are escaped."""
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [cell.strip().replace(r"\|", "|") for cell in cells]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    row = lambda cells, kind: (
        "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>"
    )
    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table>{row(head, "th")}{body}</table></div>'


def _html(table: pd.DataFrame) -> str:
    number = lambda value: f"{value:.4g}"
    text = table.to_html(index=False, border=0, float_format=number, na_rep="")
    return f'<div class="scroll">{text}</div>'


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(tree: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested numbers as one level with dotted names."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found
