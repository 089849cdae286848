"""Videos of every odd kind come in upright, in colour and in time."""

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from made import flip_bits, joined_streams, make_video, near, number_of, ramp, ramps, tone
from PIL import Image

from xfer.errors import BadFile, MissingFile
from xfer.media.conversion import WIDE
from xfer.media.video import Camera, open_video, prefetch


def read(path):
    video = open_video(path)
    return video, list(video)


def times_of(frames):
    return [frame.time_s for frame in frames]


def test_frames_come_in_order_with_their_times_and_facts(tmp_path):
    frames = ramps(12)
    path = make_video(tmp_path / "a.mp4", frames, sound=[(tone(0.3), 44_100, "aac", True)])
    video, found = read(path)
    assert all(near(f.image, e) for f, e in zip(found, frames, strict=True))
    assert times_of(found) == pytest.approx([k / 25 for k in range(12)], abs=1e-4)
    assert (video.width, video.height, video.fps, video.n_frames) == (64, 48, 25, 12)
    assert video.has_audio and video.duration_s == pytest.approx(0.48) and video.remarks == []
    assert times_of(video) == times_of(found), "a second reading starts anew"


@pytest.mark.parametrize(
    "codec, suffix, bframes",
    [("libx264", "avi", 3), ("mpeg4", "avi", 2), ("libx264", "mkv", 8), ("libx264", "ts", 3)],
)
def test_stamps_in_the_order_of_coding_are_put_in_the_order_shown(tmp_path, codec, suffix, bframes):
    moving = [np.roll(f, 3 * k, axis=1) for k, f in enumerate(ramps(40))]
    options = {"bf": str(bframes), "g": "60", "b": "4000000"}
    _, found = read(make_video(tmp_path / f"a.{suffix}", moving, codec=codec, options=options,
                               pixel_format="yuv420p"))  # fmt: skip
    assert times_of(found) == pytest.approx([k / 25 for k in range(40)], abs=0.002)
    assert [number_of(f.image) for f in found] == [k % 12 for k in range(40)]


def test_a_stamp_that_steps_back_is_nudged_and_forgotten_at_the_next(tmp_path):
    video, seen = open_video(make_video(tmp_path / "a.mkv", ramps(2))), [-1.0]
    for stamp in (0.0, 0.04, 0.03, 0.12, float("nan"), 0.2):
        seen.append(video._later(stamp, seen[-1]))
    assert seen[1:] == pytest.approx([0, 0.04, 0.041, 0.12, 0.16, 0.2])


@pytest.mark.parametrize("later", [0.0, 100.0, 8.0])
def test_joined_streams_have_one_clock(tmp_path, later):
    path = joined_streams(tmp_path, *(
        {"frames": ramps(20), "start": start, "sound": [(tone(0.8), 44_100, "aac", True)]}
        for start in (3.0, later)
    ))  # fmt: skip
    _, found = read(path)
    steps = np.diff(times_of(found))
    assert len(found) == 40 and steps.min() > 0 and steps.max() < 0.15
    assert found[-1].time_s == pytest.approx(39 / 25, abs=0.12)


def test_a_leap_in_any_container_is_a_new_clock_and_a_pause_is_kept(tmp_path):
    options = {"bf": "0"}
    leap = [0, 0.04, 5000, 5000.04, 5000.08, 5000.12]
    _, found = read(make_video(tmp_path / "a.mkv", ramps(6), times=leap, options=options))
    assert times_of(found) == pytest.approx([0.04 * k for k in range(6)], abs=0.005)
    pause = [0, 0.04, 3.0, 3.04]
    _, found = read(make_video(tmp_path / "b.mkv", ramps(4), times=pause, options=options))
    assert times_of(found) == pytest.approx(pause, abs=0.002)


@pytest.mark.parametrize("turn, shown", [
    ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),  # a telephone held upright
    ((0, -1, 1, 0), np.rot90), ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
    ((-1, 0, 0, 1), lambda a: a[:, ::-1]), ((1, 0, 0, -1), lambda a: a[::-1]),
    ((0, 1, 1, 0), lambda a: a.transpose(1, 0, 2)),
    ((0, -1, -1, 0), lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
])  # fmt: skip
def test_the_whole_display_matrix_is_applied(tmp_path, turn, shown):
    image = ramp(48, 80)
    video, found = read(make_video(tmp_path / "a.mp4", [image] * 2, turn=turn))
    assert near(found[0].image, shown(image))
    assert (video.height, video.width) == found[0].image.shape[:2]


def coded(image, curve):
    """sRGB bytes as HLG or PQ in BT.2020, by ITU-R BT.2100, white at 203 cd/m2."""
    light = image / 255.0
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    light = np.clip(light @ np.linalg.inv(np.array(WIDE[9])).T, 0, 1)
    if curve == 18:
        e = light * 0.26496
        high = 0.17883277 * np.log(np.maximum(12 * e - 0.28466892, 1e-9)) + 0.55991073
        return np.where(e <= 1 / 12, np.sqrt(3 * e), high)
    y = (light * 203 / 10_000) ** (2610 / 16384)
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** (2523 / 32)


@pytest.mark.parametrize("curve, most", [(18, 3.0), (16, 5.0)])
def test_high_dynamic_range_comes_out_as_srgb(tmp_path, curve, most):
    image = ramp(64, 64, 90)
    frames = [VideoFrame.from_ndarray(np.rint(coded(image, curve) * 65535).astype(np.uint16),
                                      format="rgb48le") for _ in range(3)]  # fmt: skip
    frames = [f.reformat(format="yuv444p10le", dst_colorspace="BT2020") for f in frames]
    tags = {"color_trc": curve, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    path = make_video(tmp_path / "a.mp4", frames, pixel_format="yuv444p10le", tags=tags)
    seen = read(path)[1][0].image
    assert np.abs(seen.astype(int) - image).mean() < most


@pytest.mark.parametrize("height, width, matrix", [(720, 1280, 1), (720, 640, 1), (480, 640, 5)])
def test_untagged_films_are_bt709_from_720_lines_on(tmp_path, height, width, matrix):
    image = np.full((height, width, 3), (200, 60, 40), np.uint8)
    path = make_video(tmp_path / "a.mp4", [image] * 2, matrix=matrix)
    assert np.abs(read(path)[1][0].image.astype(int) - image).max() < 6


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuv420p", "yuv420p10le", "rgb24"])
def test_ranges_depths_and_planes_of_every_kind(tmp_path, pixel_format):
    image = np.full((48, 64, 3), 230, np.uint8)
    image[:, :32] = 20
    codec = "libx264rgb" if pixel_format == "rgb24" else "libx264"
    path = make_video(tmp_path / "a.mkv", [image] * 3, codec=codec, pixel_format=pixel_format)
    assert near(read(path)[1][0].image, image, 3)


def test_a_size_that_changes_is_fitted_with_borders_and_told_once(tmp_path):
    flat = lambda h, w: {"frames": [np.full((h, w, 3), 200, np.uint8)] * 8}
    video, found = read(joined_streams(tmp_path, flat(96, 64), flat(64, 96)))
    assert {f.image.shape for f in found} == {(96, 64, 3)} and len(found) == 16
    last = found[-1].image[:, 32, 0] > 100
    assert 38 <= last.sum() <= 46 and not last[:20].any(), "64 x 43 pixels between borders"
    assert sum("size changes" in r for r in video.remarks) == 1


def test_pixels_that_are_no_squares_are_made_square(tmp_path):
    options = {"aspect": Fraction(4, 3), "turn": (0, 1, -1, 0)}
    video, found = read(make_video(tmp_path / "a.mp4", ramps(2, 48, 60), **options))
    assert found[0].image.shape == (80, 48, 3) and (video.width, video.height) == (48, 80)


def test_interlaced_films_show_no_combs(tmp_path):
    frames = []
    for k in range(12):
        image = np.full((64, 96, 3), 30, np.uint8)
        image[0::2, 8 + 4 * k : 28 + 4 * k] = 220
        image[1::2, 10 + 4 * k : 30 + 4 * k] = 220
        frames.append(image)
    options = {"x264-params": "tff=1", "bf": "0"}
    path = make_video(tmp_path / "a.mkv", frames, options=options, pixel_format="yuv420p")
    _, found = read(path)
    comb = lambda image: np.abs(np.diff(image[8:-8, :, 0].astype(int), axis=0)).mean()
    assert len(found) == 12 and comb(found[6].image) < 0.4 * comb(frames[6])
    assert times_of(found) == pytest.approx([k / 25 for k in range(12)], abs=0.002)


@pytest.mark.parametrize("codec, pixel_format, suffix, metadata", [
    ("libvpx-vp9", "yuva420p", "webm", {"alpha_mode": "1"}), ("ffv1", "bgra", "mkv", {}),
])  # fmt: skip
def test_transparent_films_are_laid_over_white(tmp_path, codec, pixel_format, suffix, metadata):
    image = np.zeros((64, 64, 4), np.uint8)
    image[:, :32] = (200, 40, 40, 255)
    path = make_video(tmp_path / f"a.{suffix}", [image] * 4, codec=codec,
                      pixel_format=pixel_format, metadata=metadata)  # fmt: skip
    seen = read(path)[1][1].image
    assert (seen[:, 40:] > 245).all() and near(seen[30, 10], np.array([200, 40, 40]), 12)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animated_images_are_films(tmp_path, suffix):
    frames = ramps(5)
    first, *others = (Image.fromarray(f) for f in frames)
    path, options = tmp_path / f"a.{suffix}", {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=others, duration=80, **options)
    video, found = read(path)
    assert video.n_frames == 5 and video.fps == pytest.approx(12.5)
    assert times_of(found) == pytest.approx([0.08 * k for k in range(5)])
    most = 12 if suffix == "gif" else 1
    assert all(near(f.image, e, most) for f, e in zip(found, frames, strict=True))


@pytest.mark.parametrize(
    "name", ["10:22.mp4", "a" * 251 + ".mp4", "50% off %d.mp4", "-x.mp4", "é ü.mp4"]
)
def test_names_of_every_kind_are_read(tmp_path, name):
    path = make_video(tmp_path / "plain.mp4", ramps(2)).rename(tmp_path / name)
    assert len(read(path)[1]) == 2


def test_what_is_no_video_is_one_clear_sentence(tmp_path):
    good = make_video(tmp_path / "good.mp4", ramps(8)).read_bytes()
    listing = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    bad = {
        "empty": b"", "letter": b"this is a letter\n" * 50, "header": good[:60],
        "playlist": listing, "half": good[: len(good) // 2],
    }  # fmt: skip
    for name, data in bad.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(data)
        with pytest.raises(BadFile) as caught:
            list(open_video(path))
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for missing in (tmp_path / "none.mp4", "a driver may be a text, " * 20, "a\0b"):
        with pytest.raises(MissingFile):
            open_video(missing)


def test_broken_films_give_what_decodes_and_a_remark(tmp_path):
    path = make_video(tmp_path / "a.mkv", ramps(60), options={"bf": "0", "g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video, found = read(path)
    assert 10 < len(found) < 50 and len(video.remarks) == 1
    rng, given = np.random.default_rng(0), 0
    for count in (1, 3, 10, 30) * 3:
        path.write_bytes(flip_bits(data, count, rng, 300))
        try:
            times = times_of(read(path)[1])
        except BadFile:
            continue
        given += 1
        assert all(b > a for a, b in itertools.pairwise(times))
    assert given > 6


def test_prefetching_keeps_order_and_errors_and_ends_with_its_reader():
    def items():
        yield from range(5)
        raise BadFile("broken")

    made = prefetch(items(), 2)
    assert [next(made) for _ in range(5)] == list(range(5))
    with pytest.raises(BadFile, match="broken"):
        next(made)
    assert next(prefetch(itertools.count(), 2)) == 0


def test_a_camera_gives_its_newest_frame_and_drops_the_others(tmp_path):
    path = make_video(tmp_path / "a.mp4", ramps(12), fps=25)
    camera = Camera(f"live:{path}")
    times = []
    for frame in camera:
        times.append(frame.time_s)
        time.sleep(0.1)
    assert 3 <= len(times) <= 8 and camera.n_dropped >= 3
    assert all(b > a for a, b in itertools.pairwise(times))
    with pytest.raises(MissingFile, match="no camera"):
        Camera("live:/dev/video99")
