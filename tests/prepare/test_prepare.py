"""A small preparation of everything at once: what comes out, and what is said of the rest."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from moving_pictures import moving_face, ramps, write_video
from PIL import Image
from skimage.data import astronaut

from xfer.crop import Crop, crop_to_picture
from xfer.errors import RunError
from xfer.media.pictures import decode_picture
from xfer.prepare.merge import merge
from xfer.prepare.pool import Limits
from xfer.prepare.records import Settings
from xfer.prepare.run import prepare
from xfer.prepare.shards import read_manifest

TRUTH = np.array(
    json.loads((Path(__file__).parents[1] / "data/align/landmarks.json").read_text())["astronaut"]
)
SMALL = Settings(size=64, landmarks="dlib", fps=10.0)
LIMITS = Limits(stall_s=90)


def collection(root):
    """Good and bad inputs of every kind."""
    (root / "id00001/film").mkdir(parents=True)
    (root / "id00001/talk").mkdir()
    (root / "frames").mkdir()
    write_video(root / "id00001/film/00001.mp4", moving_face(12), fps=10, pixel_format="yuv420p")
    write_video(root / "id00001/talk/00001.mp4", moving_face(6, step=0), fps=10)
    other = [255 - pixels for pixels in moving_face(5)]
    write_video(root / "cut.mp4", [*moving_face(9), *other], fps=10)
    for number, pixels in enumerate(moving_face(6)):
        Image.fromarray(pixels).save(root / f"frames/{number:03d}.png")
    (root / "frames/003.png").write_bytes(b"\x89PNG and then nothing")
    Image.fromarray(astronaut()).save(root / "portrait.png")
    Image.fromarray(astronaut()[300:]).save(root / "no_face.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff and then nothing")
    (root / "broken.mp4").write_bytes(b"not at all")
    write_video(root / "sound.mp4", [], sound_seconds=0.3)
    write_video(root / "no_face.mp4", ramps(6), fps=10)
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = collection(tmp_path_factory.mktemp("in") / "mine")
    out = tmp_path_factory.mktemp("out") / "set"
    summary = prepare([root], out, SMALL, workers=2, clips_per_shard=3, limits=LIMITS)
    return root, out, summary


@pytest.fixture(scope="module")
def index(prepared):
    return pd.read_parquet(prepared[1] / "index.parquet")


def picture(folder, row):
    with open(folder / row.shard, "rb") as shard:
        shard.seek(row.offset)
        return decode_picture(shard.read(row.length), row.clip)


def test_every_input_has_one_line_with_its_reason(prepared):
    _, out, summary = prepared
    lines = {line["clip"].removeprefix("mine/"): line for line in read_manifest(out)}
    reasons = {name: line["reason"] for name, line in lines.items() if line["status"] == "bad"}
    assert reasons.keys() == {"broken", "broken-2", "sound", "no_face", "no_face-2"}
    assert "no video" in reasons["broken-2"] or "no picture" in reasons["broken-2"]
    assert "only sound" in reasons["sound"]
    assert reasons["no_face-2"] == "no face was found in it"
    assert reasons["no_face"] == "no face was found in any of its 6 frames"
    assert lines["frames"]["skipped"] == 1 and lines["frames"]["frames_kept"] == 5
    assert (summary.good, summary.bad, len(lines)) == (5, 5, 10)
    assert all("\n" not in line["reason"] for line in lines.values())


def test_after_a_cut_only_the_longest_shot_is_kept(prepared, index):
    (line,) = [line for line in read_manifest(prepared[1]) if line["clip"] == "mine/cut"]
    assert line["cuts"] == 1 and "1 cuts, the longest shot was kept" in line["reason"]
    assert (index[index["clip"] == "mine/cut"]["cuts"] == 1).all()
    assert index[index["clip"] == "mine/cut"]["source_frame"].tolist() == list(range(9))


def test_no_person_is_in_two_splits(index):
    assert (index.groupby("person")["split"].nunique() == 1).all()
    vox = index[index["person"] == "id00001"]
    assert vox["clip"].nunique() == 2 and len(vox) == 18


def test_frames_lie_where_the_index_says_and_show_an_aligned_face(prepared, index):
    for row in index.itertuples():
        pixels = picture(prepared[1], row)
        assert pixels.shape == (64, 64, 3)
        eyes = np.array(row.landmarks).reshape(68, 2)[36:48].mean(0)
        assert np.abs(eyes - [0, -0.1]).max() < 0.12


def test_shards_are_plain_tars_of_pictures(prepared, index):
    shards = sorted((prepared[1] / "shards").iterdir())
    assert [shard.name for shard in shards] == sorted({Path(s).name for s in index["shard"]})
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert len(names) == len(set(names)) == len(index)


def test_the_crop_transform_leads_from_the_crop_back_to_the_picture(index):
    (row,) = index[index["clip"] == "mine/portrait"].itertuples()
    crop = Crop(
        torch.tensor([[row.crop_center_x, row.crop_center_y]]),
        torch.tensor([[row.crop_half_x, row.crop_half_y]]),
    )
    inside = torch.tensor(np.array(row.landmarks)).view(1, 68, 2).float()
    assert np.abs(crop_to_picture(crop, inside)[0].numpy() - TRUTH).mean() < 0.5
    assert (row.picture_width, row.picture_height) == (512, 512)


def test_quality_is_measured(index):
    portrait = index[index["clip"] == "mine/portrait"].iloc[0]
    assert not portrait[["is_blurred", "is_small", "is_turned", "is_outside"]].any()
    assert abs(portrait["yaw_estimate_deg"]) < 20
    assert portrait["source_pixels"] == pytest.approx(173.7 / 64, abs=0.05)


def shards_of(folder):
    files = [folder / "index.parquet", *sorted((folder / "shards").iterdir())]
    return {path.name: path.read_bytes() for path in files}


def test_a_repeated_call_does_nothing_and_other_settings_are_refused(prepared):
    root, out, summary = prepared
    before = {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    again = prepare([root], out, SMALL, clips_per_shard=3)
    assert again == summary
    assert before == {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    with pytest.raises(RunError, match="other settings"):
        prepare([root], out, Settings(size=32, landmarks="dlib", fps=10.0), clips_per_shard=3)
    with pytest.raises(RunError, match="other inputs"):
        prepare([root / "frames"], out, SMALL, clips_per_shard=3)


def test_shares_of_two_machines_give_the_same_bytes_as_one(prepared, tmp_path):
    root, out, summary = prepared
    parts = [
        prepare([root], tmp_path / "set", SMALL, workers=1, clips_per_shard=3, share=(i, 2))
        for i in (1, 2)
    ]
    assert [part.complete for part in parts] == [False, True]
    assert "other shares are missing" in str(parts[0])
    assert not (tmp_path / "set/index.parquet").exists()
    assert merge([tmp_path / "set"]).frames == summary.frames
    assert shards_of(tmp_path / "set") == shards_of(out)
    assert (tmp_path / "set/manifest.jsonl").read_text() == (out / "manifest.jsonl").read_text()


def test_a_missing_share_is_noticed(prepared, tmp_path):
    prepare([prepared[0]], tmp_path, SMALL, workers=1, clips_per_shard=3, share=(2, 2))
    with pytest.raises(RunError, match="not complete: 1 of its 3 shards"):
        merge([tmp_path])


def test_two_preparations_are_joined_without_mixing_people(prepared, index, tmp_path):
    _, out, summary = prepared
    both = merge([out, out], tmp_path / "both")
    joined = pd.read_parquet(tmp_path / "both/index.parquet")
    assert (both.good, both.frames) == (2 * summary.good, 2 * summary.frames)
    # One named by a folder is the same person in both; one named by its clip is another.
    assert joined["clip"].nunique() == 2 * index["clip"].nunique()
    assert joined["person"].nunique() == 2 * index["person"].nunique() - 1
    assert (joined.groupby("person")["split"].nunique() == 1).all()
    row = next(joined[joined["clip"] == "mine/portrait-2"].itertuples())
    assert np.array_equal(
        picture(tmp_path / "both", row),
        picture(out, next(index[index["clip"] == "mine/portrait"].itertuples())),
    )
