"""Names of checkpoints, and paths that look like them."""

from pathlib import Path

import pytest

from xfer.errors import MissingFile
from xfer.files import registry


def test_a_folder_hides_no_name_and_a_file_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "shipped")
    for name in ("shipped", "tiny", "arcface-ir-se50", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "shipped" / "tiny.safetensors").touch()
    assert registry.locate("tiny") == tmp_path / "shipped" / "tiny.safetensors"
    assert registry.locate("./tiny") == Path("tiny"), "unless it is meant"
    assert registry.locate("other") == Path("other")
    with pytest.raises(MissingFile, match="arcface-ir-se50 is not fetched yet"):
        registry.locate("arcface-ir-se50")
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").touch()
    assert registry.locate("tiny") == Path("tiny")
