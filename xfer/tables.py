"""Tables of results as people read them: CSV, Markdown and LaTeX with the same numbers."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from xfer.errors import expect
from xfer.runs import atomic


def interval_cells(
    summary: pd.DataFrame, metrics: Sequence[str] = (), digits: int = 3
) -> pd.DataFrame:
    """A summary as texts, one row a method and one column a metric: `0.91 [0.88, 0.94]`.

    Args:
        summary: Rows with method, metric, value, low, high.
        metrics: Columns and their order; by default all as they come.
    """
    metrics = list(metrics) or list(dict.fromkeys(summary["metric"]))
    unknown = set(metrics) - set(summary["metric"])
    expect(not unknown, f"the summary has no {', '.join(sorted(unknown))}")
    texts = {
        (row.method, row.metric): _cell(row.value, row.low, row.high, digits)
        for row in summary.itertuples()
    }
    methods = list(dict.fromkeys(summary["method"]))
    rows = [[texts.get((method, metric), "") for metric in metrics] for method in methods]
    return pd.DataFrame(rows, index=pd.Index(methods, name="method"), columns=metrics)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, lowest and highest seed: method (the variant), metric, value, low, high."""
    grouped = table.groupby(["variant", "metric"], sort=False)["value"]
    found = grouped.agg(value="mean", low="min", high="max").reset_index()
    return found.rename(columns={"variant": "method"})


def _cell(value: float, low: float, high: float, digits: int) -> str:
    number = lambda x: f"{x:.{digits}g}"
    return f"{number(value)} [{number(low)}, {number(high)}]"


def to_markdown(table: pd.DataFrame) -> str:
    """A table of texts for a README or a notebook."""
    rows = [[table.index.name or "", *table.columns], ["---"] * (1 + len(table.columns))]
    rows += [[name, *cells] for name, *cells in table.itertuples()]
    escaped = [[str(cell).replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped) + "\n"


def to_latex(table: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """A table of texts for a paper, with booktabs' rules; notes go into comments."""
    line = lambda cells: " & ".join(_tex(cell) for cell in cells) + r" \\"
    head, *body = [[table.index.name or "", *table.columns], *table.itertuples()]
    return "\n".join(
        [
            *(f"% {note}" for note in notes),
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            line(head),
            r"\midrule",
            *(line(row) for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _tex(cell: object) -> str:
    text = str(cell)
    for sign in "&%_#$":
        text = text.replace(sign, f"\\{sign}")
    return text


def write_table(table: pd.DataFrame, stem: str | Path, notes: Sequence[str] = ()) -> list[Path]:
    """Write stem.md and stem.tex, atomically; notes stand below, or in comments.

    Args:
        table: Texts, as of `interval_cells`.
    """
    stem = Path(stem)
    below = "".join(f"\n{note}\n" for note in notes)
    texts = {".md": to_markdown(table) + below, ".tex": to_latex(table, notes)}
    return [write_text(stem.with_name(stem.name + end), text) for end, text in texts.items()]


def write_csv(table: pd.DataFrame, path: str | Path) -> Path:
    """Write numbers as CSV, atomically, without the row numbers."""
    return write_text(Path(path), table.to_csv(index=False))


def write_text(path: Path, text: str) -> Path:
    """Write a text file, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text)
    return path
