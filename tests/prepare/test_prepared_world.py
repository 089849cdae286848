"""Clips of the face world: their own landmarks, and crops equal to what is rendered aligned."""

import shutil

import numpy as np
import pandas as pd
import pytest

from xfer.datasets.clips import Clips
from xfer.faceworld.factors import Factors, draw_identity, draw_motion, draw_scene, seeded
from xfer.faceworld.render import render
from xfer.media.pictures import picture_source
from xfer.media.provenance import Source
from xfer.media.video_out import VideoWriter
from xfer.pixels import to_uint8
from xfer.prepare.records import Settings
from xfer.prepare.run import prepare
from xfer.prepare.shards import read_manifest

FRAMES, SIZE = 2, 48


def write_world(folder, people=2):
    """Clips and their table, as `xfer world render` lays them out."""
    folder.mkdir()
    rows, factors = [], []
    for person in range(people):
        factors.append(
            Factors(
                draw_identity(1, seeded(person)).repeat(FRAMES),
                draw_motion(FRAMES, seeded(person, 1), yaw_deg=20),
                draw_scene(1, seeded(person, 2), "studio").repeat(FRAMES),
            )
        )
        drawn = render(*factors[-1].groups, 4 * SIZE)
        clip = f"clip_{person:05d}"
        with VideoWriter(folder / f"{clip}.mp4", crf=4, full_colour=True) as video:
            for pixels in to_uint8(drawn.picture):
                video.add(pixels)
        columns = {name: values.numpy() for name, values in factors[-1].columns.items()}
        landmarks = list(drawn.landmarks.flatten(1).numpy())
        rows.append(
            pd.DataFrame(
                {"clip": [clip] * FRAMES, "frame": range(FRAMES)}
                | columns
                | {"landmarks": landmarks}
            )
        )
    pd.concat(rows).to_parquet(folder / "frames.parquet")
    return factors


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    factors = write_world(root / "in")
    (root / "in" / "clip_00009.mp4").write_bytes((root / "in" / "clip_00000.mp4").read_bytes())
    prepare([root / "in"], root / "out", Settings(SIZE, landmarks="auto", picture_format="png"))
    return root, factors


def test_crops_equal_the_aligned_rendering(world):
    root, factors = world
    clips = Clips(root / "out")
    expected = render(*Factors.cat(factors).groups, SIZE, aligned=True)
    difference = (clips.pictures(range(len(clips))) - expected.picture).abs().mean() * 127.5
    assert difference < 4.5
    found = clips.landmarks(range(len(clips)))
    assert (found - expected.landmarks_in_crop).abs().max() < 0.002


def test_factors_stand_in_the_index_and_frames_say_that_they_are_rendered(world, tmp_path):
    root, factors = world
    clips = Clips(root / "out")
    assert clips.settings["landmarks"] == "truth"
    names = ["yaw_deg", "jaw", "nose_length"]
    truth = Factors.cat(factors).columns
    np.testing.assert_allclose(
        clips.columns(range(2 * FRAMES), names),
        np.stack([truth[name] for name in names], 1),
        rtol=1e-5,
    )
    row = clips.index.iloc[0]
    data = (root / "out" / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["length"]]
    (tmp_path / "frame.png").write_bytes(data)
    assert picture_source(tmp_path / "frame.png") is Source.RENDERED


def test_a_clip_without_rows_is_rejected(world):
    lines = read_manifest(world[0] / "out")
    bad = {line["clip"]: line["reason"] for line in lines if line["status"] == "bad"}
    assert bad.keys() == {"in/clip_00009"} and "no row for clip_00009" in bad["in/clip_00009"]


def test_clips_may_be_numbered_in_the_table(world, tmp_path):
    source = shutil.copytree(world[0] / "in", tmp_path / "in")
    table = pd.read_parquet(source / "frames.parquet")
    table["clip"] = table["clip"].str.removeprefix("clip_").astype(int)
    table.to_parquet(source / "frames.parquet")
    assert prepare([source], tmp_path / "out", Settings(SIZE, landmarks="truth")).good == 2


def test_asking_for_truth_rejects_what_has_none(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    summary = prepare([tmp_path / "a.mp4"], tmp_path / "out", Settings(SIZE, landmarks="truth"))
    assert (summary.good, summary.bad) == (0, 1)
