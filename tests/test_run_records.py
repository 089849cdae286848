"""What the pages of results and data say of trainings and weights is what these say."""

import re
from pathlib import Path

import pytest
import torch

from xfer.metrics.transfer import psnr
from xfer.runs import read_json, read_stats
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw

FOLDER = Path(__file__).resolve().parents[1] / "results" / "runs"
ROWS = [line.split(" | ") for line in (FOLDER / "README.md").read_text().splitlines()]
TOLD = {row[0].strip("| `"): row[2:4] for row in ROWS if re.match(r"\| `\w+`", row[0])}


@pytest.mark.parametrize("folder", sorted(FOLDER.glob("*/")), ids=lambda path: path.name)
def test_pictures_and_hours_of_a_training_are_those_of_its_record(folder):
    kimg, hours = read_stats(folder)[-1]["kimg"], read_json(folder / "run.json")["hours"]
    assert TOLD[folder.name] == [f"{kimg:.0f}", f"{hours:.1f}"]


def test_every_training_that_is_told_has_a_record():
    assert TOLD.keys() == {path.name for path in FOLDER.glob("*/")}


def test_the_page_of_the_data_names_all_shipped_weights():
    data = FOLDER.parents[1] / "data"
    shipped = {path.stem for path in (data / "weights").glob("*.safetensors")}
    told = re.findall(r"^\| `([\w-]+)`", (data / "README.md").read_text(), re.MULTILINE)
    assert shipped == set(told)


def test_rounding_to_half_precision_has_changed_no_picture_visibly():
    """Weights that round to the shipped ones draw what these draw, as the page of the data says."""
    shipped, exact = Generator.load("small"), Generator.load("small")
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in exact.parameters():
            step = 2 ** (weight.abs().clamp(min=2**-14).log2().floor() - 10)  # of float16
            weight += (torch.rand(weight.shape, generator=rng) - 0.5) * step
    pictures = (draw(generator, range(8)).clamp(-1, 1).numpy() for generator in (exact, shipped))
    assert psnr(*pictures).min() > 55
