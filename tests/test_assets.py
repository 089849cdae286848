"""Files known by name: where they lie, how they are fetched, what is said where they are absent."""

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from xfer import assets
from xfer.errors import BadFile, BadValue, MissingFile, UnwritableFile


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def toy(tmp_path, monkeypatch, cache) -> Path:
    """An asset "toy" whose wheel lies in the cache's `wheels` folder."""
    wheel = cache / "wheels" / "toy-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/data.bin", b"numbers")
    sha256 = lambda data: hashlib.sha256(data).hexdigest()
    row = assets.Asset(
        file="toy.bin", purpose="test", licence="MIT", package="xfer-no-such-package",
        version="1.0", archive_sha256=sha256(wheel.read_bytes()), member="toy/data.bin",
        sha256=sha256(b"numbers"), size=7,
    )  # fmt: skip
    monkeypatch.setitem(assets.ASSETS, "toy", row)
    return wheel


def test_a_wheel_put_by_hand_is_enough_and_a_damaged_file_is_fetched_anew(toy, monkeypatch):
    (path,) = assets.fetch(["toy"])
    assert path.read_bytes() == b"numbers" and assets.asset_path("toy") == path
    assert assets.verify() == ["toy: as it should be"]
    path.write_bytes(b"NUMBERS")
    with pytest.raises(BadFile, match="toy should be as fetched"):
        assets.verify()
    path.write_bytes(b"num")
    with pytest.raises(BadFile, match="7 bytes"):
        assets.asset_path("toy")
    assert assets.fetch(["toy"])[0].read_bytes() == b"numbers"
    other = dataclasses.replace(assets.ASSETS["toy"], sha256="0" * 64)
    monkeypatch.setitem(assets.ASSETS, "toy", other)
    with pytest.raises(BadFile, match="not the known file"):
        assets.fetch(["toy"])


def test_what_cannot_be_reached_is_named_unless_it_is_optional(toy, monkeypatch, capsys):
    needed = assets.ASSETS["toy"]
    extra = dataclasses.replace(needed, file="e.bin", archive_sha256="0", optional=True)
    monkeypatch.setattr(assets, "ASSETS", {"toy": needed, "extra": extra})
    monkeypatch.setattr(assets.sys, "executable", "/no/such/python")
    assert assets.fetch() == [needed.path]
    assert "does without extra" in capsys.readouterr().err
    for path in (toy, needed.path):
        path.unlink()
    with pytest.raises(MissingFile, match=r"xfer-no-such-package 1\.0 .*wheels"):
        assets.fetch(["toy"])
    with pytest.raises(MissingFile, match=r"toy is needed .* `xfer weights fetch`"):
        assets.asset_path("toy")


def test_a_cache_in_the_place_of_a_file_fails_only_where_a_file_is_needed(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XFER_CACHE", str(tmp_path / "file"))
    assert assets.verify() == [] and list(assets.listing())
    with pytest.raises(BadValue, match="face-landmarker"):
        assets.fetch(["face-landmarks"])
    with pytest.raises(UnwritableFile, match="cannot be written"):
        assets.fetch(["arcface-ir-se50"])


def test_a_folder_hides_no_name_and_a_file_does(tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assets, "SHIPPED", tmp_path / "shipped")
    for name in ("shipped", "tiny", "arcface-ir-se50", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "shipped" / "tiny.safetensors").touch()
    assert assets.locate("tiny") == tmp_path / "shipped" / "tiny.safetensors"
    assert assets.locate("./tiny") == Path("tiny"), "unless it is meant"
    with pytest.raises(MissingFile, match="arcface-ir-se50 is not fetched yet"):
        assets.locate("arcface-ir-se50")
    path = assets.PUBLIC["arcface-ir-se50"].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"put by hand")
    assert assets.fetch(["arcface-ir-se50"]) == [path] == [assets.locate("arcface-ir-se50")]
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").touch()
    assert assets.locate("tiny") == Path("tiny")


def test_npm_comes_out_of_a_wheel_where_the_system_has_none(toy, cache, monkeypatch):
    toy.unlink()
    row = dataclasses.replace(assets.ASSETS["toy"], registry="npm")
    monkeypatch.setitem(assets.ASSETS, "toy", row)
    monkeypatch.setattr(assets.shutil, "which", lambda _: None)
    commands = []
    monkeypatch.setattr(assets, "_run", lambda command, folder: commands.append(command))
    with pytest.raises(BadFile, match="without the archive"):
        assets.fetch(["toy"])
    (*_, wheel), (node, npm, *rest) = commands
    assert wheel == assets.NPM and Path(node).name == "node" and Path(npm).name == "npm-cli.js"
    assert rest == ["pack", "--fetch-retries=1", "xfer-no-such-package@1.0"]
