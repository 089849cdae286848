"""`xfer prepare` as it is typed."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from xfer.cli import main
from xfer.errors import BadValue, RunError
from xfer.prepare import command
from xfer.prepare.command import parse_share
from xfer.prepare.locks import holding
from xfer.prepare.merge import merge
from xfer.prepare.records import Settings
from xfer.prepare.run import Summary, prepare
from xfer.runs import write_json


def test_a_share_is_written_as_i_of_n():
    assert parse_share("3/16") == (3, 16)
    with pytest.raises(BadValue, match="i/n, such as 0/8; got '3'"):
        parse_share("3")


def test_portraits_are_prepared_and_their_shares_merged(tmp_path, capsys):
    for number in range(2):
        Image.fromarray(np.roll(astronaut(), number, 0)).save(
            tmp_path / f"{number}{'ab'[number]}.png"
        )
    out = str(tmp_path / "out")
    rest = ["--out", out, "--size", "32", "--landmarks", "dlib", "--workers", "1"]
    assert main(["prepare", str(tmp_path), *rest, "--shard", "0/2"]) == 0
    assert "2 good inputs, 0 rejected, 2 frames" in capsys.readouterr().out
    assert main(["prepare", str(tmp_path / "nowhere"), *rest]) == 2
    assert "there is no" in capsys.readouterr().err
    assert main(["prepare", "merge", out]) == 0
    assert main(["prepare", "merge", "--out", out]) == 0
    assert main(["prepare", str(tmp_path)]) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "out/index.parquet").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--workers -1", "at least one process prepares; got -1"),
        ("--workers 0", "got 0 workers"),
        ("--fps 0", "fps is a number of frames above 0; got 0"),
        ("--fps -3", "fps is a number of frames above 0; got -3"),
        ("--fps nan", "fps is a number of frames above 0; got nan"),
        ("--most-frames 0", "at least one frame of a video is read"),
    ],
)
def test_a_number_that_makes_no_sense_is_told_before_anything_is_made(
    given, told, tmp_path, capsys
):
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    typed = ["prepare", str(tmp_path / "a.png"), "--out", str(out), *given.split()]
    assert main(typed) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_preparation_that_rejects_everything_ends_with_an_error(tmp_path, capsys):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "dark.png")
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    (tmp_path / "worse.mp4").write_bytes(b"nothing")
    out = tmp_path / "out"
    typed = [str(tmp_path), "--out", str(out), "--size", "32", "--landmarks", "dlib"]
    assert main(["prepare", *typed, "--workers", "1"]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("xfer: every input was rejected, 2 of 3 since: ")
    assert str(out / "manifest.jsonl") in told
    assert main(["prepare", "merge", str(out)]) == 2


def test_a_share_may_be_all_bad_though_it_ends_last(tmp_path, capsys, monkeypatch):
    last = Summary(tmp_path, 0, 2, 0, complete=True, is_share=True)
    monkeypatch.setattr(command, "prepare_sources", lambda *_, **__: last)
    assert main(["prepare", str(tmp_path), "--out", str(tmp_path), "--shard", "2/2"]) == 0
    told = capsys.readouterr().out
    assert "2 rejected" in told and "all shares are done, join them with merge" in told


def test_only_shares_work_on_one_folder_side_by_side(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    out, settings = tmp_path / "out", Settings(size=32, landmarks="dlib")
    with holding(out, shared=True), holding(out, shared=True):
        with pytest.raises(RunError, match=r"only shares .* go side by side"):
            prepare([tmp_path / "a.png"], out, settings)
        assert not (out / "prepare.json").exists()
    with holding(out, shared=False), pytest.raises(RunError, match="is in use"):
        prepare([tmp_path / "a.png"], out, settings, share=(1, 2))
    with holding(out, shared=False), pytest.raises(RunError, match="is in use"):
        write_json(out / "prepare.json", {"groups": 0, "splits": {}})
        merge([out])


def test_what_is_no_preparation_is_not_merged(tmp_path, capsys):
    assert main(["prepare", "merge", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no preparation" in capsys.readouterr().err


def test_a_refused_request_leaves_the_record_of_the_run(tmp_path, capsys):
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    typed = ["prepare", str(tmp_path / "a.png"), "--out", str(out), "--landmarks", "dlib"]
    assert main([*typed, "--size", "32"]) == 0
    before = (out / "runs/0-of-1/run.json").read_bytes()
    assert main([*typed, "--size", "64"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert (out / "runs/0-of-1/run.json").read_bytes() == before
