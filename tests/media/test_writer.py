"""What goes out keeps times and sound, says that it is synthetic, and is whole or absent."""

import av
import numpy as np
import pytest
from made import joined_streams, make_video, near, ramp, ramps, room_for, sound_of, tone
from origin import source_in

from xfer.errors import BadValue, UnwritableFile
from xfer.media.provenance import Source
from xfer.media.video import VideoWriter, open_video


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
    assert found[0].image.shape == (48, 64, 3) and source_in(path) is Source.GENERATED
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
    seconds, loudness, begin = sound_of(tmp_path / "b.mp4")
    assert seconds == pytest.approx(1.0, abs=0.03) and loudness > 0.2 and begin < 0.08
    assert len(list(open_video(tmp_path / "b.mp4"))) == 25


def test_the_default_track_is_taken(tmp_path):
    tracks = [(np.zeros(44_100, np.int16), 44_100, "aac", False), (tone(1.0), 44_100, "aac", True)]
    path = make_video(tmp_path / "a.mkv", ramps(25), sound=tracks)
    copied(path, tmp_path / "b.mp4")
    assert sound_of(tmp_path / "b.mp4")[1] > 0.2


def test_sound_moves_with_the_picture_where_streams_are_joined(tmp_path):
    parts = (30.0, np.zeros(35_280, np.int16)), (2.0, tone(0.8))
    joined = joined_streams(tmp_path, *(
        {"frames": ramps(20), "start": start, "sound": [(samples, 44_100, "aac", True)]}
        for start, samples in parts
    ))  # fmt: skip
    assert copied(joined, tmp_path / "b.mp4") == []
    seconds, _, begin = sound_of(tmp_path / "b.mp4")
    assert seconds == pytest.approx(1.6, abs=0.12) and begin == pytest.approx(0.8, abs=0.1)


def test_sound_that_begins_late_keeps_its_place(tmp_path):
    late = np.concatenate([np.zeros(22_050, np.int16), tone(0.5)])
    path = make_video(
        tmp_path / "a.mkv", ramps(25), sound=[(late, 44_100, "flac", True)], start=3.0
    )
    copied(path, tmp_path / "b.mp4")
    assert sound_of(tmp_path / "b.mp4")[2] == pytest.approx(0.5, abs=0.03)


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
        with room_for(most), refused, writer((640, 480)) as out:
            for array in noise:
                out.write(array)
    assert list(tmp_path.iterdir()) == []
