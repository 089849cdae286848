"""Tables written for people, character by character."""

import pandas as pd
import pytest

from xfer.errors import BadValue
from xfer.tables import interval_cells, to_latex, to_markdown, write_csv, write_table

SUMMARY = pd.DataFrame(
    [("a", "yaw_r", 0.91234, 0.9, 0.92, 8), ("b|c", "psnr", 20.0, 19.5, 20.5, 8)],
    columns=["method", "metric", "value", "low", "high", "n"],
)


def test_cells_hold_value_and_interval_and_missing_ones_are_empty():
    cells = interval_cells(SUMMARY)
    assert cells.loc["a", "yaw_r"] == "0.912 [0.9, 0.92]"
    assert cells.loc["a", "psnr"] == ""
    assert list(interval_cells(SUMMARY, ["psnr"]).columns) == ["psnr"]
    with pytest.raises(BadValue, match="has no magic"):
        interval_cells(SUMMARY, ["magic"])


def test_both_markups_hold_the_same_cells_and_escape_their_signs():
    cells = interval_cells(SUMMARY)
    assert to_markdown(cells).splitlines() == [
        "| method | yaw_r | psnr |",
        "| --- | --- | --- |",
        "| a | 0.912 [0.9, 0.92] |  |",
        r"| b\|c |  | 20 [19.5, 20.5] |",
    ]
    latex = to_latex(cells, ["judged"])
    assert latex.startswith("% judged\n\\begin{tabular}{lrr}\n\\toprule\n")
    assert r"method & yaw\_r & psnr \\" in latex


def test_files_are_written_beside_each_other(tmp_path):
    md, tex = write_table(interval_cells(SUMMARY), tmp_path / "main.v1", ["note"])
    assert (md.name, tex.name) == ("main.v1.md", "main.v1.tex")
    assert md.read_text().endswith("\nnote\n")
    again = pd.read_csv(write_csv(SUMMARY, tmp_path / "summary.csv"))
    pd.testing.assert_frame_equal(again, SUMMARY)
