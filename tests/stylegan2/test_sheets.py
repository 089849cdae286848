"""Sheets are written, labelled, and refuse what the generator refuses."""

import pytest

from xfer.errors import BadValue
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.stylegan2.sheets import sample_sheet, truncation_sheet


def test_sheets_become_pictures_and_a_wrong_psi_leaves_none(tmp_path):
    generator = Generator(GeneratorConfig(8, 8, 8, 1, channel_base=64, channel_max=8))
    assert sample_sheet(generator, range(3), 0.7, tmp_path / "a.png", "people").stat().st_size > 0
    assert truncation_sheet(generator, [1, 2], tmp_path / "b.png", "people").exists()
    with pytest.raises(BadValue, match="psi is a fraction"):
        sample_sheet(generator, range(3), 2.0, tmp_path / "c.png", "people")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
