import itertools
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from made import make_video
from PIL import Image
from skimage.data import astronaut
from waiting import wait

from xfer.data import prepare as room
from xfer.data.clips import open_clips
from xfer.data.inputs import find_inputs, person_of
from xfer.data.prepare import PrepareConfig, prepare
from xfer.errors import BadFile, RunError
from xfer.face_reader import Face, FaceReader
from xfer.media.images import kind_of
from xfer.media.video import Frame

TEXTURE = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)


def frame(x: int = 200, y: int = 150, side: int = 160, yaw: int = 0) -> np.ndarray:
    """A picture that says in its first pixels where a face is; a side of 0 says that none is."""
    image = TEXTURE.copy()
    image[0, 0], image[0, 1, 0] = (x // 2, y // 2, side // 2), yaw + 100
    return image


def face_in(image: np.ndarray) -> Face | None:
    """The face that `frame` put there; its crop has about the side that was given."""
    x, y, side = 2 * image[0, 0].astype(int)
    if not side:
        return None
    grid = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 478), [0.0]), -1)[0]
    grid[::2] = grid[::2, ::-1]
    mesh = np.concatenate([grid * side + (x, y), np.zeros((478, 1))], 1).astype(np.float32)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2 + (x, y)
    return Face(
        landmarks=mesh, blendshapes=np.zeros(52, np.float32),
        yaw_deg=float(image[0, 1, 0]) - 100, pitch_deg=0.0, roll_deg=0.0, n_faces=1,
        quad=corners, factors=np.full(11, x, np.float32),
    )  # fmt: skip


class SlowReader(FaceReader):
    """Answers late, as a reader does that looks ahead to smooth."""

    def __init__(self):
        pass

    def track(self, frames, **_) -> Iterator[Face | None]:
        frames = iter(frames)
        while some := list(itertools.islice(frames, 3)):
            yield from [face_in(frame.image) for frame in some]


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A folder of films that are lists of frames, and a reader that finds their faces."""
    scripts: dict[str, list] = {}

    class Script(list):
        remarks = ("stored mirrored",)

    def open_script(path):
        images = scripts[Path(path).name]
        if not isinstance(images, list):
            raise images
        return Script(Frame(image, i / 25) for i, image in enumerate(images))

    monkeypatch.setattr(room, "open_video", open_script)
    monkeypatch.setattr(room, "_reader", lambda _: SlowReader())
    folder = tmp_path / "films"
    folder.mkdir()

    def add(name: str, images) -> Path:
        scripts[name] = images
        (folder / name).write_bytes(b"film")
        return folder / name

    add.folder = folder
    return add


def run(films, **options) -> tuple[Path, list[dict]]:
    out = films.folder.parent / "out"
    settings = {"size": 64, "n_workers": 0, "least_sharpness": 0.0} | options
    prepare(PrepareConfig(inputs=(str(films.folder),), out=str(out), **settings))
    return out, [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_a_film_becomes_one_clip_with_what_was_read(films):
    films("a.mp4", [frame(x=180 + i) for i in range(20)])
    out, (line,) = run(films)
    clips = open_clips(out)
    (clip,) = clips.clips
    assert clip.n_frames == line["used"] == line["frames"] == 20
    assert clips.image(clip, 0).shape == (64, 64, 3)
    np.testing.assert_allclose(clips.factors(clip, 7), 2 * (187 // 2))
    np.testing.assert_allclose(clips.array(clip, "time_s"), np.arange(20) / 25)
    middle = clips.array(clip, "landmarks").mean(1)[:, :2]
    np.testing.assert_allclose(middle, 31.5, atol=1.0)
    assert line["status"] == "ok" and line["person"] == "films/a.mp4"
    assert line["remarks"] == ["stored mirrored"]


STILL, LOST = [frame()] * 10, frame(side=0)
ELSEWHERE = [frame(x=320)] * 10 + [frame(x=320, side=90)] * 10
SHOTS = {
    "lost, elsewhere, larger": ([*STILL, *[LOST] * 9, *STILL, *ELSEWHERE], {}, [10] * 4),
    "lost for a moment": ([*STILL, *[LOST] * 3, *STILL], {}, [20]),
    "long and fast": (STILL * 10, {"fps": 20, "most_frames": 30}, [30, 30, 20]),
}


@pytest.mark.parametrize("name", SHOTS)
def test_shots_end_where_the_face_is_lost_or_jumps_or_after_so_many_frames(films, name):
    images, options, lengths = SHOTS[name]
    films("a.mp4", images)
    out, (line,) = run(films, least_face_px=40, **options)
    assert [clip.n_frames for clip in open_clips(out).clips] == lengths
    assert line["rejected"].get("lost", 0) == sum(image is LOST for image in images)


def test_rejected_frames_are_counted_by_reason(films, monkeypatch):
    films("good.mp4", STILL)
    films("turned.mp4", [frame(yaw=70)] * 4 + STILL)
    films("small.mp4", [frame(side=60)] * 10)
    films("outside.mp4", [frame(x=20)] * 10)
    films("short.mp4", [frame()] * 5)
    _, lines = run(films)
    reasons = {line["input"]: (line["status"], line["rejected"]) for line in lines}
    assert reasons == {
        "films/good.mp4": ("ok", {}),
        "films/turned.mp4": ("ok", {"turned": 4}),
        "films/small.mp4": ("rejected", {"small": 10}),
        "films/outside.mp4": ("rejected", {"outside": 10}),
        "films/short.mp4": ("rejected", {"short": 5}),
    }
    shutil.rmtree(films.folder.parent / "out")
    monkeypatch.setattr(room, "crop", lambda *_: np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(BadFile, match=r"every input was rejected.*blurred"):
        run(films, least_sharpness=1.2)


def test_damaged_inputs_cost_themselves_only(films):
    films("a.mp4", STILL)
    films("b.mp4", BadFile("b.mp4 is no video"))
    films("c.mp4", ValueError("deep inside"))
    films("d.mp4", [])
    (films.folder / "e.jpg").write_bytes(b"\xff\xd8\xff broken")
    _, lines = run(films)
    assert [line["status"] for line in lines] == ["ok", "damaged", "damaged", "rejected", "damaged"]
    assert lines[1]["reason"] == "b.mp4 is no video"
    assert lines[2]["reason"] == "ValueError: deep inside"


def test_pictures_are_clips_of_one_frame(films):
    for i in range(4):
        Image.fromarray(frame(x=190 + 2 * i)).save(films.folder / f"{i}.png")
    clips = open_clips(run(films)[0])
    factors = [clips.factors(clip, 0)[0] for clip in clips.clips]
    assert len(clips) == 4 and factors == [190, 192, 194, 196]


def test_a_stopped_run_goes_on_to_the_same_bytes(films, monkeypatch):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        films(name, [frame(x=200 + 2 * len(name))] * 10)
    whole = bytes_of(run(films)[0])
    shutil.rmtree(films.folder.parent / "out")
    true, opened = room.open_video, []

    def stopping(path):
        opened.append(Path(path).name)
        if len(opened) == 2:
            raise KeyboardInterrupt
        return true(path)

    monkeypatch.setattr(room, "open_video", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(films)
    assert bytes_of(run(films)[0]) == whole
    assert opened == ["a.mp4", "b.mp4", "b.mp4", "c.mp4"]


def test_a_folder_keeps_its_settings_and_follows_its_inputs(films):
    films("a.mp4", STILL)
    run(films)
    with pytest.raises(RunError, match="size was 64, not 128"):
        run(films, size=128)
    films("a.mp4", [frame()] * 15).write_bytes(b"another film")
    clips = open_clips(run(films, retries=3)[0]).clips
    assert [clip.n_frames for clip in clips] == [15]


@pytest.mark.parametrize("path, person", [
    ("crema/1001_DFA_ANG_XX.flv", "crema-d/1001"), ("grid/s12/bbaf2n.mpg", "grid/s12"),
    ("vox2/mp4/id00012/21Uxsk56VDQ/00001.mp4", "voxceleb/id00012"),
    ("Actor_24/01-01-03-02-01-01-24.mp4", "ravdess/24"),
    ("th1kh/-_WGj-qFuWk_0003_S0_E1500_L100_T20_R500_B400.mp4", "talkinghead/-_WGj-qFuWk"),
    ("s1/holiday.mp4", None), ("me/film.mp4", None),
])  # fmt: skip
def test_people_are_known_by_the_names_of_data_sets(path, person):
    assert person_of(Path("/data") / path, Path("/data")) == person


def test_each_file_is_found_once_and_people_by_folder_are_directly_below_the_input(tmp_path):
    folder, twin = tmp_path / "films", tmp_path / "other/films"
    for path in (folder / "ann/2020/a.mp4", folder / "ann/b.mp4", folder / "c.mp4", twin / "c.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film")
    os.symlink(folder / "c.mp4", folder / "link.mp4")
    jobs = find_inputs([folder, folder / "c.mp4", twin], people="folder")
    names = ["films/ann/2020/a.mp4", "films/ann/b.mp4", "films/c.mp4", "films/c.mp4#2"]
    assert [job.name for job in jobs] == names
    assert [job.person for job in jobs][:3] == ["films/ann", "films/ann", "films"]


def bytes_of(out: Path) -> dict[str, bytes]:
    """Everything that may not depend on how the work went."""
    paths = [out / "index.jsonl", out / "manifest.jsonl", *(out / "clips").rglob("*.safetensors")]
    assert not list(out.rglob(".*.part"))
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def video(path: Path, frames: int, codec: str = "mpeg4") -> None:
    """A camera that pans over the astronaut's face."""
    cuts = [np.ascontiguousarray(astronaut()[0:256, 60 + i : 380 + i]) for i in range(frames)]
    make_video(path, cuts, codec=codec, pixel_format="yuv420p")


@pytest.fixture(scope="module")
def real_films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for i in range(4):
        video(folder / f"{i}.mp4", 12 + i)
    (folder / "torn.mp4").write_bytes((folder / "3.mp4").read_bytes()[:900])
    assert kind_of(folder / "torn.mp4") == "video"
    return folder


def test_two_workers_one_of_them_killed_give_the_bytes_of_one(real_films, tmp_path):
    alone, together = (
        PrepareConfig(inputs=(str(real_films),), out=str(tmp_path / name), n_workers=n)
        for name, n in (("alone", 0), ("together", 2))
    )
    assert len(prepare(alone)) == 4
    job = threading.Thread(target=prepare, args=(together,))
    job.start()
    wait((tmp_path / "together" / "stats.jsonl").exists, seconds=300)
    children = psutil.Process().children(recursive=True)
    next(child for child in children if "spawn_main" in str(child.cmdline())).kill()
    job.join(300)
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "together")


def test_a_worker_that_dies_at_its_start_is_told_in_a_line(real_films, tmp_path, monkeypatch):
    dying = Mock(side_effect=RuntimeError("Nanny failed to start."))
    monkeypatch.setattr("distributed.LocalCluster", dying)
    with pytest.raises(RunError, match=r"died while it started .* run again"):
        prepare(PrepareConfig(inputs=(str(real_films),), out=str(tmp_path), n_workers=2))


@pytest.mark.long
def test_what_kills_every_worker_costs_itself(real_films, tmp_path):
    config = PrepareConfig(
        inputs=(str(real_films / "0.mp4"), str(real_films / "1.mp4")),
        out=str(tmp_path), n_workers=2, hang_s=0.01,
    )  # fmt: skip
    with pytest.raises(BadFile, match="every process that read it died"):
        prepare(config)
