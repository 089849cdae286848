"""Videos of every odd kind come in upright, in colour and in time."""

import itertools
import time
from fractions import Fraction

import av
import made
import numpy as np
import pytest
from av.video.frame import VideoFrame
from made import make_video, near, ramp, ramps, tone
from PIL import Image

from xfer.errors import BadFile, BadValue, MissingFile, UnwritableFile
from xfer.media.conversion import WIDE
from xfer.media.images import Source
from xfer.media.video import Camera, VideoWriter, open_video, prefetch


def read(path):
    video = open_video(path)
    return video, list(video)


def times_of(frames):
    return [frame.time_s for frame in frames]


def test_frames_come_in_order_with_their_times_and_facts(tmp_path):
    frames = ramps(12)
    path = make_video(tmp_path / "a.mp4", frames, sound=[(tone(0.3), 44_100, "aac", True)])
    video, found = read(path.rename(tmp_path / ("-10:22, 50% off %d é" + "a" * 230 + ".mp4")))
    assert all(near(f.image, e) for f, e in zip(found, frames, strict=True))
    assert times_of(found) == pytest.approx([k / 25 for k in range(12)], abs=1e-4)
    assert (video.width, video.height, video.fps, video.n_frames) == (64, 48, 25, 12)
    assert video.has_audio and video.duration_s == pytest.approx(0.48) and video.remarks == []
    assert times_of(video) == times_of(found), "a second reading starts anew"


@pytest.mark.parametrize(
    "codec, suffix, bframes", [("libx264", "avi", 3), ("mpeg4", "avi", 2), ("libx264", "mkv", 8)]
)
def test_stamps_in_the_order_of_coding_are_put_in_the_order_shown(tmp_path, codec, suffix, bframes):
    moving = [np.roll(f, 3 * k, axis=1) for k, f in enumerate(ramps(40))]
    options = {"bf": str(bframes), "g": "60", "b": "4000000"}
    _, found = read(make_video(tmp_path / f"a.{suffix}", moving, codec=codec, options=options,
                               pixel_format="yuv420p"))  # fmt: skip
    assert times_of(found) == pytest.approx([k / 25 for k in range(40)], abs=0.002)
    assert [made.number_of(f.image) for f in found] == [k % 12 for k in range(40)]


def part(start, samples):
    """Twenty frames with sound that begin at a stamp, to be joined with others."""
    return {"frames": ramps(20), "start": start, "sound": [(samples, 44_100, "aac", True)]}


@pytest.mark.parametrize("later", [0.0, 100.0, 8.0])
def test_joined_streams_have_one_clock(tmp_path, later):
    _, found = read(made.joined_streams(tmp_path, part(3.0, tone(0.8)), part(later, tone(0.8))))
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


def test_a_size_that_changes_is_fitted_with_borders_and_pixels_are_made_square(tmp_path):
    flat = lambda h, w: {"frames": [np.full((h, w, 3), 200, np.uint8)] * 8}
    video, found = read(made.joined_streams(tmp_path, flat(96, 64), flat(64, 96)))
    assert {f.image.shape for f in found} == {(96, 64, 3)} and len(found) == 16
    last = found[-1].image[:, 32, 0] > 100
    assert 38 <= last.sum() <= 46 and not last[:20].any(), "64 x 43 pixels between borders"
    assert sum("size changes" in r for r in video.remarks) == 1
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
        path.write_bytes(made.flip_bits(data, count, rng, 300))
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


def copied(path, out, until=99.0):
    """A video's frames and sound written anew; gives the remarks."""
    video = open_video(path)
    size = video.width, video.height
    with VideoWriter(out, size, video.fps, Source.COMPOSITE, audio_from=path) as writer:
        for frame in video:
            if frame.time_s < until:
                writer.write(frame.image, frame.time_s)
    return writer.remarks


def test_frames_times_and_origin_are_kept_and_odd_sides_made_even(tmp_path):
    times, frames = [0.0, 0.05, 0.06, 0.31], ramps(4, 47, 63)
    path = tmp_path / ("10:22" + "a" * 246 + ".mp4")
    with VideoWriter(path, (63, 47), 25, Source.GENERATED) as writer:
        for array, at in zip(frames, times, strict=True):
            writer.write(array, at)
    found = list(open_video(path))
    assert [f.time_s for f in found] == pytest.approx(times, abs=2e-5)
    assert all(near(f.image[:47, :63], e, 6) for f, e in zip(found, frames, strict=True))
    assert found[0].image.shape == (48, 64, 3) and made.source_in(path) is Source.GENERATED
    with av.open(f"file:{path}") as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_trc, context.color_primaries) == (1, 1, 1)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "it starts before it is loaded whole"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "codec, rate, suffix",
    [("aac", 44_100, "mp4"), ("pcm_s16le", 11_111, "avi"), ("flac", 48_000, "mkv")],
)
def test_sound_is_taken_over_and_ends_with_the_pictures(tmp_path, codec, rate, suffix):
    path = make_video(tmp_path / f"a.{suffix}", ramps(50), pixel_format="yuv420p",
                      sound=[(tone(2.0, rate), rate, codec, True)])  # fmt: skip
    assert copied(path, tmp_path / "b.mp4", until=1.0) == []
    seconds, loudness, begin = made.sound_of(tmp_path / "b.mp4")
    assert seconds == pytest.approx(1.0, abs=0.03) and loudness > 0.2 and begin < 0.08
    assert len(list(open_video(tmp_path / "b.mp4"))) == 25


def test_sound_moves_with_the_picture_where_streams_are_joined(tmp_path):
    silent = np.zeros(35_280, np.int16)
    joined = made.joined_streams(tmp_path, part(30.0, silent), part(2.0, tone(0.8)))
    assert copied(joined, tmp_path / "b.mp4") == []
    seconds, _, begin = made.sound_of(tmp_path / "b.mp4")
    assert seconds == pytest.approx(1.6, abs=0.12) and begin == pytest.approx(0.8, abs=0.1)


def test_sound_of_the_default_track_that_begins_late_keeps_its_place(tmp_path):
    late = np.concatenate([np.zeros(22_050, np.int16), tone(0.5)])
    sound = [(tone(1.0), 44_100, "flac", False), (late, 44_100, "flac", True)]
    path = make_video(tmp_path / "a.mkv", ramps(25), sound=sound, start=3.0)
    copied(path, tmp_path / "b.mp4")
    assert made.sound_of(tmp_path / "b.mp4")[2] == pytest.approx(0.5, abs=0.03)


def written(path, audio_from, k_failing=None):
    """Five frames with another file's sound, which may fail at one of them; gives the remarks."""
    with VideoWriter(path, (64, 48), 5, Source.GENERATED, audio_from=audio_from) as out:
        for k, array in enumerate(ramps(5)):
            out.write(array)
            if k == k_failing:
                out._sound._frames = (int("no sound") for _ in range(9))
    assert len(list(open_video(path))) == 5
    return out.remarks


def test_whatever_fails_in_sound_costs_the_sound_and_a_remark(tmp_path):
    out, sound = tmp_path / "b.mp4", [(tone(1.0), 44_100, "flac", True)]
    path = make_video(tmp_path / "a.mkv", ramps(25), sound=sound)
    path.write_bytes(path.read_bytes().replace(b"fLaC", b"xxxx"))
    assert len(written(out, path)) <= 1
    (tmp_path / "text.wav").write_text("no sound at all")
    assert written(out, tmp_path / "text.wav") and written(out, tmp_path / "none.wav")
    path = make_video(tmp_path / "a.mkv", ramps(25), sound=sound)
    (remark,) = written(out, path, k_failing=2)
    assert "silent from 0.6 s on" in remark
    silent = make_video(tmp_path / "c.mp4", ramps(3))
    assert copied(silent, tmp_path / "d.mp4") == [] and not open_video(tmp_path / "d.mp4").has_audio


def test_nothing_appears_where_writing_fails(tmp_path):
    writer = lambda size=(64, 48): VideoWriter(tmp_path / "a.mp4", size, 25, Source.GENERATED)
    with pytest.raises(RuntimeError, match="stop"), writer() as out:
        out.write(ramp())
        raise RuntimeError("stop")
    with pytest.raises(BadValue, match="at least one frame"), writer():
        pass
    with pytest.raises(BadValue, match="64, 48"), writer() as out:
        out.write(ramp(10, 10))
    with pytest.raises(BadValue, match="increase"), writer() as out:
        out.write(ramp(), 1.0)
        out.write(ramp(), 1.0)
    with pytest.raises(BadValue, match="mp4"):
        VideoWriter(tmp_path / "a.avi", (64, 48), 25, Source.GENERATED)
    noise = np.random.default_rng(0).integers(0, 256, (30, 480, 640, 3), dtype=np.uint8)
    refused = pytest.raises(UnwritableFile, match="cannot be written")
    for most in (0, 3_000, 300_000):
        with made.room_for(most), refused, writer((640, 480)) as out:
            for array in noise:
                out.write(array)
    assert list(tmp_path.iterdir()) == []
