"""Run folders: nothing half written, one holder at a time, resumable records."""

import errno
import os

import pytest

from xfer.errors import BadFile, RunError, UnwritableFile
from xfer.runs import Run, atomic, read_json, read_stats, write_json


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
