"""Run folders: nothing half written, one holder at a time, resumable records."""

import errno
import os

import numpy as np
import pytest
import torch
from made import room_for

from xfer.errors import BadFile, RunError, UnwritableFile
from xfer.media.images import Source, write_image
from xfer.runs import Checkpoints, Run, atomic, read_json, read_stats, write_json

NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / ("é" * 120 + "n" * 15)
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old" and len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("name", ["file/below/a.json", "folder", "/proc/a.json", "n" * 256])
def test_a_place_that_cannot_be_written_is_named_as_the_user_named_it(name, tmp_path):
    (tmp_path / "file").write_text("a file, where a folder is needed")
    (tmp_path / "folder").mkdir()
    told = f"{name} cannot be written: .*another place"
    with pytest.raises(UnwritableFile, match=told), atomic(tmp_path / name):
        pytest.fail("told too late")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, ""), RuntimeError("I/O error: (os error 28)")]
)
def test_a_full_disk_is_told_with_the_file_and_what_to_do(error, tmp_path):
    told = r"a\.json cannot be written: No space .*; make room on the disk and run again"
    with pytest.raises(UnwritableFile, match=told), atomic(tmp_path / "a.json"):
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("share", [0.01, 0.4, 0.95])
@pytest.mark.parametrize("write", [
    lambda folder: Checkpoints(folder).save(1, {"a": torch.ones(50_000)}),
    lambda folder: write_image(folder / "a.jpg", NOISE, Source.GENERATED),
    lambda folder: write_image(folder / "a.png", NOISE, Source.GENERATED),
])  # fmt: skip
def test_what_is_written_by_libraries_is_whole_or_refused(write, share, tmp_path):
    write(tmp_path)
    (path,) = tmp_path.iterdir()
    size = path.stat().st_size
    path.unlink()
    with (
        room_for(round(size * share)),
        pytest.raises(UnwritableFile, match="make room on the disk"),
    ):
        write(tmp_path)
    assert os.listdir(tmp_path) == []


def test_json_keeps_numbers_and_spells_out_what_json_cannot_hold(tmp_path):
    write_json(tmp_path / "a.json", {"x": (1, 2.5, None), "bad": float("nan"), "path": tmp_path})
    expected = {"x": [1, 2.5, None], "bad": "NaN", "path": str(tmp_path)}
    assert read_json(tmp_path / "a.json") == expected
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(BadFile, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_a_second_run_in_a_folder_is_refused_and_a_resumed_one_keeps_its_first_start(tmp_path):
    with Run(tmp_path, {"rate": 1e-3}):
        with pytest.raises(RunError, match="in use"):
            Run(tmp_path, {"rate": 1e-3})
        first = read_json(tmp_path / "run.json")
    with Run(tmp_path, {"rate": 1e-3}, inputs={"clips": "1234"}):
        record = read_json(tmp_path / "run.json")
    assert record["started"] == first["started"] and len(record["resumed"]) == 1
    assert record["config"] == {"rate": 1e-3} and record["inputs"] == {"clips": "1234"}


def test_a_line_of_statistics_cut_short_is_left_out_and_replaced_by_the_next(tmp_path):
    with Run(tmp_path, {}) as run:
        for torn in ("", '{"kimg": 2.0, "lo', "{"):
            with open(tmp_path / "stats.jsonl", "a") as file:
                file.write(torn)
            lines = read_stats(tmp_path)
            run.log(kimg=1.0)
        run.finish(fid=3.0)
    assert lines == [{"kimg": 1.0}] * 2
    assert (tmp_path / "stats.jsonl").read_text() == '{"kimg": 1.0}\n' * 3
    assert read_json(tmp_path / "metrics.json") == {"fid": 3.0}


@pytest.mark.parametrize(
    ("name", "content"),
    [("run.json", b"[]"), ("run.json", b'{"config": 5}'), ("stats.jsonl", b"5\n"),
     ("stats.jsonl", b"\xff\n")],
)  # fmt: skip
def test_damaged_records_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile, match=name):
        Run(tmp_path, {}) and read_stats(tmp_path)
