"""What is shipped as `small` drives people: swapped or broken weights are noticed here."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from moving_pictures import write_video
from skimage.data import astronaut

from xfer import evaluate as ev
from xfer.baselines import Transferred, copy_identity
from xfer.controls import LandmarkReader
from xfer.faceworld.clips import draw_clip
from xfer.faceworld.native import compiler
from xfer.faceworld.render import render
from xfer.media.detectors import Dlib
from xfer.media.video import VideoReader
from xfer.model import Transfer
from xfer.pixels import from_uint8, to_uint8
from xfer.reenact.command import reenact
from xfer.reenact.drivers import find_place
from xfer.reenact.settings import Settings

TABLE = Path(__file__).with_name("small_on_twelve_people.csv")


@pytest.fixture(scope="module")
def judge():
    return ev.open_judge("small-judges")


@pytest.fixture(scope="module")
def measured(judge):
    """One number for each of twelve trials, method and metric."""
    trials = ev.world_trials(people=12, per_person=1)
    methods = {"small": Transferred(Transfer.load("small").prepare()), "still": copy_identity}
    return ev.evaluate(methods, trials, judge)


def test_people_turn_as_unseen_drivers_do_in_the_eyes_of_the_judges(measured):
    mean = measured.groupby(["metric", "method"])["value"].mean()
    print(mean[["yaw_deg_error", "pitch_deg_error", "accepted", "psnr_face"]])
    assert mean["yaw_deg_error", "small"] < min(5, mean["yaw_deg_error", "still"] / 3)
    assert mean["psnr_face", "small"] > mean["psnr_face", "still"] + 1


def test_every_machine_measures_the_same(measured):
    """The table is of another machine; write it anew, as below, where the weights are new."""
    columns = ["trial", "method", "metric", "value"]
    found = measured[columns].sort_values(columns[:3], ignore_index=True)
    # found.to_csv(TABLE, index=False, float_format="%.6g")
    expected = pd.read_csv(TABLE)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_clips_read_through_dlib_move_a_person_as_the_truth_tells(judge, tmp_path):
    """Three people look about and open their mouths, which dlib sees better on some than others."""
    time, found = 2 * torch.pi * torch.arange(16) / 16, []
    settings = Settings(read="landmarks", landmarks="dlib")
    for seed in range(3):
        still = draw_clip(1, seed, preset="studio").index([0] * len(time))
        motion = still.motion.replace(yaw_deg=25 * time.sin(), jaw=0.4 - 0.4 * (3 * time).cos())
        compiled = compiler() is not None
        drawn = render(still.identity, motion, still.scene, 160, compiled=compiled).picture
        path, out = write_video(tmp_path / "in.mp4", list(to_uint8(drawn))), tmp_path / "out.mp4"
        reenact(str(path), ["random:1"], str(out), settings, preset="small")
        shown = from_uint8(np.stack([frame.pixels for frame in VideoReader(out)]))
        read = dict(zip(judge.names, judge.read(shown)[0].T, strict=True))
        found.append([np.corrcoef(read[k], motion[k])[0, 1] for k in ("yaw_deg", "jaw")])
    yaw, jaw = np.array(found).T
    print(f"yaw {yaw}, jaw {jaw}")
    assert yaw.min() > 0.9 and jaw.mean() > 0.4


@torch.no_grad()
def test_a_portrait_and_its_mirror_image_look_as_far_to_either_side():
    """The astronaut looks into the camera, and dlib reads the two pictures apart by a little."""
    reader = LandmarkReader.load("small")
    yaw = [
        float(reader(find_place(pixels, Dlib(), "astronaut").landmarks)[0, 0])
        for pixels in (astronaut(), np.ascontiguousarray(astronaut()[:, ::-1]))
    ]
    print(f"yaw {yaw[0]:.1f} deg, mirrored {yaw[1]:.1f} deg")
    assert reader.names[0] == "yaw_deg" and abs(sum(yaw)) < 2 and abs(yaw[0] - yaw[1]) < 10
