"""Run folders: nothing half written, one holder at a time, resumable records."""

import errno
import json
import os
import sys

import pytest

from xfer.errors import BadFile, RunError, UnwritableFile
from xfer.runs import Progress, Run, atomic, clock, read_json, read_stats, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["file/below/a.json", "folder"])
def test_a_place_that_cannot_be_written_is_named_as_the_user_named_it(name, tmp_path):
    (tmp_path / "file").write_text("a file, where a folder is needed")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnwritableFile, match=f"{name} cannot be written: .*another place") as told:
        write_json(tmp_path / name, {})
    assert ".part" not in str(told.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_folder_that_takes_no_files_is_told_before_any_is_made():
    with pytest.raises(UnwritableFile, match=r"/proc/a\.json cannot be written"):
        write_json("/proc/a.json", {})


def test_what_goes_wrong_while_writing_is_told_as_it_is(tmp_path):
    with pytest.raises(OSError, match="No space left") as told, atomic(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert told.value.errno == errno.ENOSPC and not isinstance(told.value, UnwritableFile)


def test_json_keeps_numbers_and_spells_out_what_json_cannot_hold(tmp_path):
    write_json(tmp_path / "a.json", {"x": (1, 2.5, None), "bad": float("nan"), "path": tmp_path})
    assert read_json(tmp_path / "a.json") == {
        "x": [1, 2.5, None],
        "bad": "nan",
        "path": str(tmp_path),
    }


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(BadFile, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with Run(tmp_path, {"a": 1}), pytest.raises(RunError, match="in use"):
        Run(tmp_path, {"a": 1})
    Run(tmp_path, {"a": 1}).close()


def test_a_resumed_run_keeps_its_first_start_and_counts_the_second(tmp_path):
    with Run(tmp_path, {}, seed=3):
        started = read_json(tmp_path / "run.json")["started"]
    with Run(tmp_path, {}, seed=3):
        record = read_json(tmp_path / "run.json")
    assert record["started"] == started and len(record["resumed"]) == 1


def test_changed_settings_are_noted_where_a_run_goes_on(tmp_path):
    rates = {"rate": 1e-3, "network": {"width": 8, "blocks": (1, 2)}}
    with Run(tmp_path, rates, seed=3):
        assert read_json(tmp_path / "run.json")["resumed"] == []
    with Run(tmp_path, rates | {"rate": 5e-4, "new": 1}, seed=3) as run:
        assert run.changes == {"rate": (1e-3, 5e-4)}
    with Run(tmp_path, rates | {"rate": 5e-4}, seed=3):
        first, second = read_json(tmp_path / "run.json")["resumed"]
    assert first["changes"] == {"rate": [1e-3, 5e-4]} and "changes" not in second


def test_a_run_that_does_not_begin_changes_no_record(tmp_path):
    Run(tmp_path, {"a": 1}).close()
    before = (tmp_path / "run.json").read_bytes()
    Run(tmp_path, {"a": 2}).leave()
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_run_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFile, match="file cannot be written"):
        Run(tmp_path / "file", {})


def test_statistics_survive_a_last_line_cut_short(tmp_path):
    run = Run(tmp_path, {})
    run.log(kimg=1.0, loss=2.0)
    with open(tmp_path / "stats.jsonl", "a") as file:
        file.write('{"kimg": 2.0, "lo')
    assert read_stats(tmp_path) == [{"kimg": 1.0, "loss": 2.0}]
    run.finish(fid=3.0)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"fid": 3.0}


def test_progress_tells_what_is_left():
    progress = Progress(10, "rendering", "frames", every_seconds=1e9)
    progress.advance(5, loss=1)
    assert progress.line(loss=1).startswith("rendering: 5/10 frames, ")
    assert progress.line(loss=1).endswith("left, loss 1")
    assert clock(3725) == "1:02:05" and clock(float("inf")) == "?"


def test_progress_that_is_taken_up_again_does_not_count_the_past_as_speed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(1000, "training", "steps", every_seconds=1e9, done=900)
    now[0] += 10
    progress.advance(50)
    assert progress.line() == "training: 950/1000 steps, 5 a second, 0:00:10 left"
