"""`xfer prepare` as it is typed."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from xfer.cli import main
from xfer.errors import BadValue
from xfer.prepare.command import parse_share


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
