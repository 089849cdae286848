"""What the README names exists: commands, files, verbs; its figures are those of the results."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake (\w+)\b", TEXT))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_verb_explains_itself():
    verbs = set(re.findall(r"^    xfer ([a-z]+(?: [a-z]+)?)(?= )", TEXT, re.MULTILINE))
    assert {"weights list", "train generator", "world frames"} <= verbs
    for verb in verbs:
        words = verb.split() if verb.split()[0] != "prepare" else ["prepare"]
        done = subprocess.run(
            [sys.executable, "-m", "xfer.cli", *words, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, f"{verb}: {done.stderr}"


def test_every_link_inside_the_project_leads_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_detectors_figures_are_those_of_the_committed_tables():
    section = TEXT.partition("## The face world")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \| ([\d.]+) \|$", section, re.MULTILINE)
    assert len(rows) == 8
    for seed in (0, 1):
        path = ROOT / "results" / "00_face_world" / f"judge_seed{seed}.json"
        table = json.loads(path.read_text())
        assert table["frames"] >= 500 and table["size"] == 256 and table["seed"] == seed
        for row in rows:
            assert float(row[1 + seed]) == round(table[row[0]], 3), row


def test_the_speeds_are_those_of_the_committed_table():
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", TEXT, re.MULTILINE
    )
    table = json.loads((ROOT / "results" / "speed" / "synthesis.json").read_text())["rows"]
    known = {(r["resolution"], r["batch"], r["form"]): r["seconds"] for r in table}
    assert len(rows) == 4
    for px, batch, textbook, prepared, times in rows:
        slow, fast = (known[int(px), int(batch), form] for form in ("textbook", "prepared"))
        assert (textbook, prepared) == (f"{slow:.2f}", f"{fast:.2f}")
        assert times == f"{slow / fast:.1f}"


def test_the_figures_of_transfers_are_those_of_the_committed_table():
    metrics = ["yaw_deg_error", "yaw_deg_r", "pitch_deg_r", "jaw_r", "smile_r", "blink_r"]
    metrics += ["accepted", "psnr_face"]
    path = ROOT / "results" / "transfer" / "small_cross" / "summary.csv"
    known = pd.read_csv(path).set_index(["method", "metric"])["value"]
    section = TEXT.partition("## Results so far")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z ]+)` \|(.*)\|$", section, re.MULTILINE)
    assert len(rows) == 6
    for method, cells in rows:
        for metric, cell in zip(metrics, cells.split("|"), strict=True):
            assert cell.strip() in ("", f"{known[method, metric]:.3g}"), (method, metric)
