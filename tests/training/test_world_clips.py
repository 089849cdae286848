"""Clips of the face world on disk: videos close to what was rendered, and a row for each frame."""

import numpy as np
import pandas as pd
import pytest

from xfer.errors import RunError
from xfer.faceworld.clips import draw_clip
from xfer.faceworld.render import render
from xfer.media.video import VideoReader
from xfer.pixels import to_uint8
from xfer.training.world_clips import render_clips


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("clips") / "world"
    return render_clips(out, people=2, frames=9, size=48, seed=3, compiled=False)


def test_there_is_a_video_per_person_and_a_row_per_frame_in_order(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["clip_00000.mp4", "clip_00001.mp4", "frames.parquet"]
    table = pd.read_parquet(folder / "frames.parquet")
    assert list(table.columns[:2]) == ["clip", "frame"] and table.columns[-1] == "landmarks"
    assert list(table["frame"]) == [*range(9), *range(9)]
    assert list(table["clip"].unique()) == ["clip_00000", "clip_00001"]


def test_videos_and_rows_hold_what_was_rendered(folder):
    factors = draw_clip(9, seed=3, clip=1)
    drawn = render(*factors.groups, 48)
    frames = np.stack([frame.pixels for frame in VideoReader(folder / "clip_00001.mp4")])
    difference = np.abs(frames.astype(float) - to_uint8(drawn.picture))
    assert len(frames) == 9 and difference.mean() < 1.5
    table = pd.read_parquet(folder / "frames.parquet").iloc[9:]
    np.testing.assert_allclose(table["yaw_deg"], factors.motion["yaw_deg"], rtol=1e-6)
    found = np.stack(table["landmarks"].to_numpy()).reshape(9, 68, 2)
    np.testing.assert_allclose(found, drawn.landmarks.numpy(), atol=1e-3)


def test_a_folder_that_holds_something_is_refused(folder):
    with pytest.raises(RunError, match="not empty"):
        render_clips(folder, people=1, frames=1, size=32)
