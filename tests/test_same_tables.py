"""The shipped weights give the tables that are kept, on any machine, to a thousandth.

pytest -m long tests/test_same_tables.py        runs notebooks 03, 05 and 06 at `small`

Kept are 05's in results/disentanglement/small and the others' in results/reference/small, which
new weights renew: copy there what `xfer notebooks run --preset small` leaves in results/.
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from xfer.notebooks import run_notebooks

RESULTS = Path(__file__).resolve().parents[1] / "results"
KEPT = {
    "03_invert_identities": RESULTS / "reference" / "small" / "03_invert_identities",
    "05_disentangle_latents": RESULTS / "disentanglement" / "small",
    "06_evaluate_transfer/cross": RESULTS / "reference" / "small" / "06_cross",
    "06_evaluate_transfer/self": RESULTS / "reference" / "small" / "06_self",
}


def differences(found: Path, kept: Path) -> dict[str, float]:
    """For each kept table how far apart numbers lie, at most, in thousandths: of their size, and of
    1 where they are smaller; infinite where the tables are not even of a shape or of other words.
    """
    apart = {}
    for path in sorted(kept.glob("*.csv")):
        ours, theirs = pd.read_csv(found / path.name), pd.read_csv(path)
        words = [table.select_dtypes(exclude="number") for table in (ours, theirs)]
        if list(ours) != list(theirs) or not words[0].equals(words[1]):
            apart[path.name] = float("inf")
            continue
        a, b = (table.select_dtypes("number").fillna(0) for table in (ours, theirs))
        apart[path.name] = float(1e3 * ((a - b).abs() / b.abs().clip(lower=1)).max(axis=None))
    return apart


def test_what_differs_is_found(tmp_path):
    for name, value, word in (("a", 2.0, "x"), ("b", 2.004, "x"), ("c", 2.0, "y")):
        (tmp_path / name).mkdir()
        table = pd.DataFrame({"what": [word, "z"], "value": [value, float("nan")]})
        table.to_csv(tmp_path / name / "table.csv", index=False)
    a, b, c = (tmp_path / name for name in "abc")
    assert differences(a, a) == {"table.csv": 0}
    assert differences(b, a) == {"table.csv": pytest.approx(2)}
    assert differences(c, a) == {"table.csv": float("inf")}


@pytest.mark.long
def test_the_shipped_weights_give_the_tables_that_are_kept(tmp_path):
    shutil.copytree(RESULTS.parent / "notebooks", tmp_path / "notebooks")
    for name in ("ablations", "runs", "quality", "inversion"):  # what pages show of records
        shutil.copytree(RESULTS / name, tmp_path / "results" / name)
    outcomes = run_notebooks(
        ("03", "05", "06"), preset="small", folder=tmp_path / "notebooks",
        results=tmp_path / "results",
    )  # fmt: skip
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 0], outcomes[-1].error
    apart = {name: differences(tmp_path / "results" / name, kept) for name, kept in KEPT.items()}
    print(apart)
    assert all(apart.values()) and max(max(part.values()) for part in apart.values()) < 1
