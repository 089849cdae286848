"""Videos of every kind come in upright and in time; what goes out keeps times and sound."""

import contextlib
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from moving_pictures import flip_bits, ramps, write_video

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.media import video_out
from xfer.media.packets import MOST_ERRORS_IN_A_ROW
from xfer.media.pictures import encode_picture
from xfer.media.provenance import Source
from xfer.media.video import VideoReader
from xfer.media.video_out import VideoWriter, video_source


def near(pixels, expected, most=4.0):
    return pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected).mean() < most


def test_frames_come_in_order_with_their_times(tmp_path):
    frames = ramps(12)
    reader = VideoReader(write_video(tmp_path / "a.mp4", frames, sound_seconds=0.3))
    read = list(reader)
    assert all(near(f.pixels, e) for f, e in zip(read, frames, strict=True))
    assert [round(f.time, 3) for f in read] == [round(k / 25, 3) for k in range(12)]
    assert (reader.facts.width, reader.facts.height, reader.facts.frames) == (64, 48, 12)
    assert reader.facts.has_sound and reader.facts.fps == 25 and reader.skipped == 0
    assert [f.number for f in reader] == list(range(12)), "a second reading starts anew"


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_video_comes_out_upright(tmp_path, rotation):
    frames = ramps(3)
    reader = VideoReader(write_video(tmp_path / "a.mp4", frames, rotation=rotation))
    # The file asks to turn its pictures counter-clockwise before they are shown.
    assert near(next(iter(reader)).pixels, np.rot90(frames[0], rotation // 90))
    shown = (48, 64) if rotation % 180 else (64, 48)
    assert (reader.facts.width, reader.facts.height) == shown


@pytest.mark.parametrize("rotation, shown", [(0, (48, 80)), (90, (80, 48))])
def test_pixels_that_are_no_squares_are_made_square(tmp_path, rotation, shown):
    path = write_video(
        tmp_path / "a.mp4", ramps(2, 48, 60), rotation=rotation, pixel_aspect=Fraction(4, 3)
    )
    reader = VideoReader(path)
    pixels = next(iter(reader)).pixels
    assert pixels.shape[:2] == shown == (reader.facts.height, reader.facts.width)
    assert near(pixels, np.rot90(ramps(1, 48, 80)[0], rotation // 90))


@pytest.mark.parametrize(
    "codec, pixel_format, suffix",
    [("libx264", "yuv420p10le", "mp4"), ("ffv1", "yuv422p", "mkv"), ("mpeg4", "yuv420p", "avi"),
     ("libvpx-vp9", "yuv420p", "webm"), ("libx265", "yuv420p10le", "mp4")],
)  # fmt: skip
def test_other_codecs_and_ten_bits_are_read(tmp_path, codec, pixel_format, suffix):
    frames = ramps(4)
    path = write_video(tmp_path / f"a.{suffix}", frames, codec=codec, pixel_format=pixel_format)
    read = list(VideoReader(path))
    assert all(near(f.pixels, e, 8) for f, e in zip(read, frames, strict=True))


def test_a_lower_rate_takes_frames_by_their_times(tmp_path):
    steady = write_video(tmp_path / "steady.mp4", ramps(20), fps=30)
    times = [f.time for f in VideoReader(steady, fps=10)]
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], abs=0.002)
    varying = [0, 0.02, 0.04, 0.5, 0.51, 0.52, 1.0]
    path = write_video(tmp_path / "varying.mp4", ramps(7), times=varying)
    assert [f.time for f in VideoReader(path)] == pytest.approx(varying, abs=0.002)
    assert [f.number for f in VideoReader(path, fps=10)] == [0, 3, 6]


def test_no_frame_is_repeated_to_reach_a_higher_rate(tmp_path):
    path = write_video(tmp_path / "a.mp4", ramps(6), fps=10)
    assert len(list(VideoReader(path, fps=25))) == 6


def test_damaged_packets_are_skipped_and_counted(tmp_path):
    path = write_video(tmp_path / "a.mp4", ramps(24), pixel_format="yuv420p")
    data = path.read_bytes()
    start = data.index(b"mdat") + 8
    damaged = data[:start] + flip_bits(data[start:], 40, np.random.default_rng(1), 600)
    path.write_bytes(damaged)
    reader = VideoReader(path)
    times = [f.time for f in reader]
    assert len(times) >= 1 and all(b > a for a, b in itertools.pairwise(times))


def test_senseless_time_stamps_do_not_stop_the_frames(tmp_path):
    path = write_video(
        tmp_path / "a.mkv", ramps(6), times=[0, 0.04, 5000, 5000.04, 5000.08, 5000.12]
    )
    times = [f.time for f in VideoReader(path, fps=25)]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2], abs=0.005)


def bad_files(folder):
    """Files that are no video, each with a word that the error must say."""
    good = write_video(folder / "good.mp4", ramps(8)).read_bytes()
    write_video(folder / "sound.m4a", [], sound_seconds=0.5)
    listing = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    return {
        "empty.mp4": (b"", "no video"),
        "text.mp4": (b"this is a letter, not a film\n" * 50, "no video"),
        "header.mp4": (good[:60], "no video"),
        "no_index.mp4": (good[: len(good) // 2], "no video|no frame"),
        "picture.mp4": (encode_picture(ramps(1)[0], ".png"), "no video"),
        "playlist.mp4": (listing, "no video"),
        "sound.mp4": ((folder / "sound.m4a").read_bytes(), "only sound"),
    }


def test_what_is_no_video_is_one_clear_error(tmp_path):
    for name, (data, words) in bad_files(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(BadFile, match=words) as caught:
            list(VideoReader(path))
        assert name in str(caught.value)
    with pytest.raises(MissingFile, match="there is no video"):
        VideoReader(tmp_path / "none.mp4")


def test_flipped_bits_anywhere_are_survived(tmp_path):
    data = write_video(tmp_path / "a.mp4", ramps(10), sound_seconds=0.2).read_bytes()
    rng = np.random.default_rng(0)
    for count in (1, 3, 10, 30) * 3:
        path = tmp_path / "b.mp4"
        path.write_bytes(flip_bits(data, count, rng))
        with contextlib.suppress(BadFile):
            assert len(list(VideoReader(path))) >= 1


def test_a_written_video_keeps_frames_times_and_says_what_it_is(tmp_path):
    times = [0.0, 0.05, 0.06, 0.31]
    frames = ramps(4, 47, 63)
    with VideoWriter(tmp_path / "a.mp4", note="seed 5", crf=4, full_colour=True) as video:
        for pixels, time in zip(frames, times, strict=True):
            video.add(pixels, time)
    read = list(VideoReader(tmp_path / "a.mp4"))
    assert [f.time for f in read] == pytest.approx(times, abs=2e-5)
    assert all(near(f.pixels[:47, :63], e, 2) for f, e in zip(read, frames, strict=True))
    assert video_source(tmp_path / "a.mp4") is Source.GENERATED
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert "seed 5" in container.metadata["comment"]


def test_a_name_may_be_in_capitals_and_of_no_other_kind():
    assert VideoWriter("A.MP4").path.name == "A.MP4"
    with pytest.raises(BadValue, match=r"written as \.mp4; got a\.avi"):
        VideoWriter("a.avi")


@pytest.mark.parametrize("codec, suffix", [("aac", "mp4"), ("pcm_f32le", "mkv"), ("flac", "mkv")])
def test_sound_is_taken_over_and_ends_with_the_pictures(tmp_path, codec, suffix):
    path = write_video(tmp_path / f"a.{suffix}", ramps(50), sound_seconds=2.0, sound_codec=codec)
    reader = VideoReader(path)
    out = tmp_path / "out.mp4"
    with VideoWriter(out, 25, sound_from=path, time_base=reader.facts.time_base) as video:
        for frame in reader:
            if frame.time >= 1:
                break
            video.add(frame.pixels, frame.time)
    with av.open(str(out)) as container:
        sound = container.streams.audio[0]
        seconds = float(sound.duration * sound.time_base)
        assert sound.codec_context.name == "aac"
    assert len(list(VideoReader(out))) == 25
    assert seconds == pytest.approx(1.0, abs=0.08)


class Damaged:
    """A file that gives nothing but errors, without end."""

    def __init__(self):
        self.errors = 0

    def demux(self, stream):
        self.errors += 1
        assert self.errors < 10_000, "it is tried without end"
        raise ValueError("invalid data")
        yield


@pytest.mark.parametrize("codec, suffix", [("aac", "mp4"), ("pcm_f32le", "mkv")])
def test_sound_that_only_fails_is_given_up_and_the_pictures_stay(
    codec, suffix, tmp_path, monkeypatch
):
    path = write_video(tmp_path / f"a.{suffix}", ramps(3), sound_seconds=0.1, sound_codec=codec)
    damaged, read = Damaged(), video_out._Sound._read

    def reading(sound):
        sound._source = damaged
        return read(sound)

    monkeypatch.setattr(video_out._Sound, "_read", reading)
    with VideoWriter(tmp_path / "b.mp4", sound_from=path) as video:
        for pixels in ramps(3):
            video.add(pixels)
    assert len(list(VideoReader(tmp_path / "b.mp4"))) == 3
    assert damaged.errors == MOST_ERRORS_IN_A_ROW


def test_times_of_a_driver_are_kept_to_the_tick(tmp_path):
    path = write_video(tmp_path / "a.mp4", ramps(6), times=[0, 0.033, 0.1, 0.133, 0.9, 1.0])
    reader = VideoReader(path)
    with VideoWriter(tmp_path / "b.mp4", time_base=reader.facts.time_base) as video:
        for frame in reader:
            video.add(frame.pixels, frame.time)
    assert [f.time for f in VideoReader(tmp_path / "b.mp4")] == [f.time for f in reader]


def test_a_video_without_sound_gives_none(tmp_path):
    path = write_video(tmp_path / "a.mp4", ramps(3))
    with VideoWriter(tmp_path / "b.mp4", sound_from=path) as video:
        video.add(ramps(1)[0])
    assert not VideoReader(tmp_path / "b.mp4").facts.has_sound


def test_nothing_appears_where_writing_fails(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(tmp_path / "a.mp4") as video:
        video.add(ramps(1)[0])
        raise RuntimeError("stop")
    with pytest.raises(BadValue, match="at least one frame"), VideoWriter(tmp_path / "b.mp4"):
        pass
    with pytest.raises(BadValue, match="one size"), VideoWriter(tmp_path / "c.mp4") as video:
        video.add(ramps(1)[0])
        video.add(ramps(1, 10, 10)[0])
    with pytest.raises(BadValue, match="increase"), VideoWriter(tmp_path / "d.mp4") as video:
        video.add(ramps(1)[0], 1.0)
        video.add(ramps(1)[0], 1.0)
    with pytest.raises(BadValue, match=r"\.mp4"):
        VideoWriter(tmp_path / "e.avi")
    assert list(tmp_path.iterdir()) == []


def test_a_plain_recording_says_nothing_of_its_origin(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", source=None, time_base=Fraction(1, 600)) as video:
        video.add(ramps(1)[0])
    assert video_source(tmp_path / "a.mp4") is None
