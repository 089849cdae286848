"""Run folders: nothing half written, one holder at a time, resumable records."""

import errno
import io
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


def refused(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "error",
    [refused(errno.ENOSPC), refused(errno.EDQUOT), refused(errno.EFBIG),
     RuntimeError("I/O error: No space left on device (os error 28)")],
)  # fmt: skip
def test_a_full_disk_is_told_with_the_file_and_what_to_do(error, tmp_path):
    told = r"a\.json cannot be written: .*\. Make room on the disk and run again"
    with pytest.raises(UnwritableFile, match=told), atomic(tmp_path / "a.json"):
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [refused(errno.EIO), RuntimeError("no error of the system")])
def test_what_else_goes_wrong_while_writing_is_told_as_it_is(error, tmp_path):
    with pytest.raises(type(error)) as told, atomic(tmp_path / "a"):
        raise error
    assert told.value is error


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


def test_a_line_cut_short_is_replaced_by_the_next(tmp_path):
    with Run(tmp_path, {}) as run:
        for torn in ("", '{"kimg": 2.0, "lo', "{"):
            with open(tmp_path / "stats.jsonl", "a") as file:
                file.write(torn)
            run.log(kimg=1.0)
    assert (tmp_path / "stats.jsonl").read_text() == '{"kimg": 1.0}\n' * 3
    assert read_stats(tmp_path) == [{"kimg": 1.0}] * 3


def test_a_curve_that_is_all_torn_begins_anew(tmp_path):
    (tmp_path / "stats.jsonl").write_text('{"kim')
    with Run(tmp_path, {}) as run:
        run.log(kimg=1.0)
    assert read_stats(tmp_path) == [{"kimg": 1.0}]


def test_a_curve_that_cannot_be_written_is_an_error_of_the_run(tmp_path):
    (tmp_path / "stats.jsonl").mkdir()
    told = r"stats\.jsonl cannot be written: .*\. Make room on the disk and run again; the newest"
    with Run(tmp_path, {}) as run, pytest.raises(RunError, match=told):
        run.log(kimg=1.0)


def test_a_run_whose_record_cannot_be_written_lets_go_of_its_folder(tmp_path, monkeypatch):
    def full(*_):
        raise UnwritableFile("full")

    run = Run(tmp_path, {})
    monkeypatch.setattr("xfer.runs.write_json", full)
    for end in (run.begin, Run(tmp_path / "other", {}).close):
        with pytest.raises(UnwritableFile):
            end()
    monkeypatch.undo()
    for folder in (tmp_path, tmp_path / "other"):
        Run(folder, {}).close()


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


@pytest.fixture
def now(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_progress_that_a_time_limit_ends_tells_what_is_left_of_it(now):
    progress = Progress(1000, "training", "steps", every_seconds=1e9, ends=now[0] + 70)
    now[0] += 10
    progress.advance(50)
    assert progress.line() == "training: 50/1000 steps, 5 a second, 0:01:00 left"
    progress.advance(900)  # now the steps end before the time
    assert progress.line() == "training: 950/1000 steps, 95 a second, 0:00:01 left"
    now[0] += 100
    assert progress.left() == 0


def test_a_bar_tells_the_same(now, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(1000, "training", "steps", ends=now[0] + 70)
    now[0] += 10
    progress.advance(50, loss=1)
    progress.close()
    assert "loss=1, left=0:01:00" in terminal.getvalue()
