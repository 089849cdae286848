"""What the README names exists: commands, files, verbs; its figures are those of the results."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from xfer.errors import BadValue
from xfer.notebooks.readme import BLOCK, PICTURES, TABLES, THUMBNAIL, fill, thumbnails

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


def test_every_table_is_filled_from_the_committed_results():
    assert fill(TEXT, ROOT / "results") == TEXT, "run make readme"
    assert {name for _, name, _, _ in BLOCK.findall(TEXT)} == set(TABLES)


def test_a_typed_figure_does_not_survive_filling():
    typed = re.sub(r"0\.\d+ \|", "0.999 |", TEXT)
    assert typed != TEXT and fill(typed, ROOT / "results") == TEXT
    with pytest.raises(BadValue, match="there is no table wishes"):
        fill("<!-- table: wishes -->\n<!-- end -->", ROOT / "results")


def test_the_committed_tables_were_measured_as_the_readme_says():
    for seed in (0, 1, 2):
        path = ROOT / "results" / "00_face_world" / f"judge_seed{seed}.json"
        table = json.loads(path.read_text())
        assert table["frames"] >= 500 and table["size"] == 256 and table["seed"] == seed


def test_thumbnails_are_drawn_of_what_shipped_weights_have_left(tmp_path):
    for name, preset in (("05_disentangle_latents", "nano"), ("07_explore", "small")):
        figure = tmp_path / name / "figures" / PICTURES[name]
        figure.parent.mkdir(parents=True)
        Image.new("RGB", (1000, 500), "orange").save(figure)
        record = json.dumps({"parameters": {"preset": preset}})
        (tmp_path / name / "run.json").write_text(record)
    (made,) = thumbnails(tmp_path)
    with Image.open(made) as small:
        assert small.size == (THUMBNAIL, THUMBNAIL // 2)
        colour = small.convert("RGB").getpixel((5, 5))
        assert colour == pytest.approx((255, 165, 0), abs=6)  # of a palette of 64
