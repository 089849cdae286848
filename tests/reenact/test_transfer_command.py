"""`xfer transfer` and `xfer reenact` as a user meets them: outputs, policies, errors."""

import contextlib
import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from by_rule import given, rosinality_generator, state
from encoder_rule import encoder_state, prefixed
from moving_pictures import flip_bits, moving_face, ramps, write_video
from PIL import Image
from plain_encoders import motion_shapes, restyle_shapes
from reenact_world import (
    HEAD,
    controls_of,
    face_square,
    nodding,
    save,
    saved_weights,
    video,
)

from xfer import cli
from xfer.controls.landmarks import LandmarkReader, LandmarkReaderConfig
from xfer.files import registry
from xfer.media.pictures import picture_source, read_pixels
from xfer.media.provenance import Source
from xfer.media.tracking import Tracker
from xfer.media.video import VideoReader
from xfer.media.video_out import VideoWriter, video_source
from xfer.reenact import command, live
from xfer.reenact.studio import untrained_model

NANO = ("--preset", "nano", "--landmarks", "dlib")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a verb in an empty folder; gives exit status and what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XFER_CACHE", str(tmp_path / "cache"))

    def call(verb, driver, identity, out, *more):
        listed = lambda given: [given] if isinstance(given, str) else given
        chosen = {"--weights", "--preset"} & set(more)
        options = more if chosen else (*NANO, *more)
        status = cli.main([
            verb, "--driver", *listed(driver), "--identity", *listed(identity), "--out", out,
            *options,
        ])  # fmt: skip
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return call


def sounds(path):
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams.audio]


def test_a_picture_drives_a_random_person_and_the_result_says_it_is_synthetic(run):
    save("driver.png", HEAD)
    status, said = run("transfer", "driver.png", "random:3", "out.png")
    assert status == 0 and "untrained" in said
    assert read_pixels("out.png").shape == (32, 32, 3)
    assert picture_source("out.png") is Source.GENERATED


def test_the_paper_s_words_are_understood(run):
    save("driver.png", face_square())
    first, second = (("--driver", "--identity"), ("--source", "--target"))
    for (driver, identity), out in ((first, "a.png"), (second, "b.png")):
        words = [driver, "driver.png", identity, "random:3", "--out", out, "--aligned"]
        assert cli.main(["transfer", *words, *NANO]) == 0
    assert np.array_equal(read_pixels("a.png"), read_pixels("b.png"))


def test_a_video_keeps_its_frames_their_times_and_the_sound(run):
    times = [0.0, 0.04, 0.1, 0.14, 0.3, 0.34]
    video("in.mp4", times=times, sound_seconds=0.4)
    status, said = run("reenact", "in.mp4", "random:3", "out.mp4", "--aligned", "--batch", "4")
    assert status == 0 and "6 frames" in said
    assert [frame.time for frame in VideoReader("out.mp4")] == pytest.approx(times)
    assert sounds("out.mp4") == ["aac"]
    assert video_source("out.mp4") is Source.GENERATED


def test_frames_that_come_live_are_filmed_in_one_reading(run):
    """A file takes the camera's place."""
    write_video("in.mp4", moving_face(5))
    status, said = run("reenact", "live:in.mp4", "random:3", "out.mp4", "--compare")
    assert status == 0 and len(list(VideoReader("out.mp4"))) == 5, said
    status, said = run("reenact", "live:/dev/nothing", "random:3", "other.mp4")
    assert status == 2 and "there is no camera /dev/nothing" in said


def test_a_camera_that_is_unplugged_leaves_what_was_filmed(run, monkeypatch):
    video("in.mp4", frames=3)
    container = av.open("in.mp4")

    class Unplugged(contextlib.nullcontext):
        def decode(self, video):
            yield from container.decode(video=video)
            raise OSError(19, "No such device")

    monkeypatch.setattr(live, "_opened", lambda _: Unplugged())
    status, said = run("reenact", "live:in.mp4", "random:3", "out.mp4", "--aligned")
    assert status == 0 and "gives no more frames: No such device" in said
    assert len(list(VideoReader("out.mp4"))) == 3


def test_compared_results_stand_beside_driver_and_identity(run):
    video("in.mp4")
    run("reenact", "in.mp4", "random:3", "out.mp4", "--aligned", "--compare")
    assert next(iter(VideoReader("out.mp4"))).pixels.shape == (32, 96, 3)


def test_a_found_face_is_pasted_into_the_photo_and_nothing_else_changes(run):
    save("driver.png", HEAD)
    wide = np.full((300, 420, 3), 90, np.uint8)
    wide[40:296, 80:336] = HEAD
    save("photo.png", wide)
    status, _ = run("transfer", "driver.png", "photo.png", "out.png", "--paste", "photo")
    assert status == 0
    out = read_pixels("out.png")
    assert out.shape == wide.shape and picture_source("out.png") is Source.COMPOSITE
    changed = (out != wide).any(2)
    assert changed.any() and not changed[:, :80].any() and not changed[:, 336:].any()


def test_a_followed_face_is_replaced_in_the_driver_s_video(run):
    write_video("in.mp4", moving_face(5))
    status, _ = run("reenact", "in.mp4", "random:3", "out.mp4", "--paste", "driver")
    assert status == 0
    before, after = (list(VideoReader(path)) for path in ("in.mp4", "out.mp4"))
    assert len(after) == 5 and after[0].pixels.shape == (256, 256, 3)
    apart = [
        np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in zip(before, after, strict=True)
    ]
    assert min(apart) > 1
    assert video_source("out.mp4") is Source.COMPOSITE


def test_of_two_faces_the_larger_is_taken_and_it_says_so(run):
    small = np.array(Image.fromarray(HEAD).resize((230, 230)))
    both = np.full((420, 640, 3), 128, np.uint8)
    both[20:404, 10:394] = np.array(Image.fromarray(HEAD).resize((384, 384)))
    both[100:330, 404:634] = small
    save("two.png", both)
    status, said = run("transfer", "two.png", "random:1", "out.png", "--compare")
    assert status == 0 and "2 faces: the largest is taken" in said
    save("one.png", HEAD)
    run("transfer", "one.png", "random:1", "alone.png", "--compare")
    seen = [read_pixels(path)[:, :32].astype(int) for path in ("out.png", "alone.png")]
    assert np.abs(seen[0] - seen[1]).mean() < 8


def test_every_kind_of_picture_file_is_taken_for_what_it_shows(run):
    pixels = face_square()
    grey = np.array(Image.fromarray(pixels).convert("L"))
    turned = Image.Exif()
    turned[274] = 6  # shown turned by 90 degrees
    save("plain.png", pixels)
    save("alpha.png", np.dstack([pixels, np.full((64, 64), 255, np.uint8)]))
    save("exif.png", np.rot90(pixels).copy(), exif=turned)
    save("grey.png", grey)
    save("grey_rgb.png", np.dstack([grey] * 3))
    save("deep.png", grey.astype(np.uint16) * 257)
    shown = {}
    for name in ("plain", "alpha", "exif", "grey", "grey_rgb", "deep"):
        assert run("transfer", f"{name}.png", "random:1", "out.png", "--aligned")[0] == 0
        shown[name] = read_pixels("out.png")
    for one, other in (("plain", "alpha"), ("plain", "exif"), ("grey", "grey_rgb"),
                       ("grey", "deep")):  # fmt: skip
        assert np.array_equal(shown[one], shown[other]), one


def test_a_corrupt_frame_in_the_middle_costs_itself_only(run):
    path = video("in.mp4", frames=30)
    data = Path(path).read_bytes()
    hurt = flip_bits(data[: len(data) * 2 // 3], 12, np.random.default_rng(0), len(data) // 2)
    Path("hurt.mp4").write_bytes(hurt + data[len(data) * 2 // 3 :])
    good = len(list(VideoReader("hurt.mp4")))
    status, _ = run("reenact", "hurt.mp4", "random:1", "out.mp4", "--aligned")
    assert status == 0 and good >= 15
    assert len(list(VideoReader("out.mp4"))) == good


def test_a_folder_is_driven_through_and_a_bad_file_costs_only_itself(run):
    os.mkdir("many")
    save("many/a.png", face_square())
    video("many/b.mp4")
    Path("many/c.png").write_bytes(b"\x89PNG but no picture")
    Path("many/notes.txt").write_text("not a driver")
    status, said = run("transfer", "many", "random:1", "out", "--aligned")
    assert status == 2 and "1 of 3 drivers gave nothing" in said and "c.png" in said
    assert sorted(os.listdir("out")) == ["a.png", "b.mp4"]


def test_a_grid_goes_on_without_drivers_and_people_that_show_no_face(run):
    save("a.png", HEAD)
    save("wall.png", np.full((200, 200, 3), 120, np.uint8))
    status, said = run("transfer", ["wall.png", "a.png"], ["random:1", "wall.png"], "out.png",
                       "--grid")  # fmt: skip
    assert status == 2 and said.count("wall.png: no face was found") == 2
    assert "2 of 4 drivers and identities gave nothing" in said
    assert read_pixels("out.png").shape == (2 * 32, 2 * 32, 3)
    status, said = run("transfer", "a.png", "wall.png", "none.png", "--grid")
    assert status == 2 and "1 of 2" in said and not os.path.exists("none.png")


def test_a_grid_shows_every_driver_on_every_person(run):
    save("a.png", face_square())
    save("b.png", face_square()[:, ::-1].copy())
    status, _ = run("transfer", ["a.png", "b.png"], ["random:1", "random:2", "a.png"], "out.png",
                    "--grid", "--aligned")  # fmt: skip
    assert status == 0
    sheet = read_pixels("out.png")
    assert sheet.shape == (4 * 32, 3 * 32, 3)
    assert run("transfer", "b.png", "random:2", "one.png", "--aligned")[0] == 0
    assert np.array_equal(sheet[64:96, 64:96], read_pixels("one.png"))


def test_interpolation_between_drivers_and_between_people_ends_at_its_ends(run):
    save("a.png", face_square())
    save("b.png", 255 - face_square())
    two, people = ["a.png", "b.png"], ["random:1", "random:2"]
    ends = {"between-drivers": (two, "random:1"), "between-identities": ("a.png", people)}
    seconds = {"between-drivers": ("b.png", "random:1"), "between-identities": ("a.png", people[1])}
    run("transfer", "a.png", "random:1", "plain.png", "--aligned")
    plain = read_pixels("plain.png").astype(int)
    for name, (driver, identity) in ends.items():
        run("transfer", driver, identity, "first.png", "--aligned", f"--{name}", "0")
        run("transfer", driver, identity, "last.png", "--aligned", f"--{name}", "1")
        run("transfer", *seconds[name], "second.png", "--aligned")
        first, last, second = map(read_pixels, ("first.png", "last.png", "second.png"))
        assert np.abs(plain - first).max() <= 1 and np.abs(last.astype(int) - second).max() <= 1
        assert np.abs(plain - second).max() > 10


def test_a_film_may_lie_between_two_drivers_and_ends_at_its_ends(run):
    video("in.mp4", frames=4)
    write_video("other.mp4", [255 - pixels for pixels in nodding(4)])
    pixels = lambda path: [frame.pixels.astype(int) for frame in VideoReader(path)]
    for driver, share, out in (("in.mp4", "0", "a.mp4"), ("other.mp4", "1", "b.mp4")):
        options = ("--aligned", "--between-drivers", share)
        assert run("reenact", ["in.mp4", "other.mp4"], "random:1", out, *options)[0] == 0
        assert run("reenact", driver, "random:1", "alone.mp4", "--aligned")[0] == 0
        both = list(zip(pixels(out), pixels("alone.mp4"), strict=True))
        assert len(both) == 4 and max(np.abs(x - y).mean() for x, y in both) < 1
    assert np.abs(pixels("a.mp4")[0] - pixels("b.mp4")[0]).mean() > 2


def world_weights(path):
    """Weights that know the face world only: landmarks tell them 10 deg for a tenth at point 30."""
    reader = LandmarkReader(LandmarkReaderConfig(("yaw_deg",))).eval()
    reader.weight[0, 60] = 100.0
    model = untrained_model()
    return saved_weights(path, controls_of(model), reader)


def test_aligned_drivers_from_elsewhere_are_read_by_their_landmarks(run, tmp_path):
    weights = ("--weights", world_weights(tmp_path / "w.safetensors"), "--landmarks", "dlib")
    save("driver.png", HEAD)
    write_video("in.mp4", moving_face(3))
    for verb, driver, out in (("transfer", "driver.png", "out.png"),
                              ("reenact", "in.mp4", "out.mp4"),
                              ("reenact", "live:in.mp4", "live.mp4")):  # fmt: skip
        status, said = run(verb, driver, "random:1", out, "--aligned", *weights)
        assert status == 0 and "is read by its landmarks" in said, said
    save("wall.png", np.full((200, 200, 3), 120, np.uint8))
    status, said = run("transfer", "wall.png", "random:1", "a.png", "--aligned", *weights)
    assert status == 2 and "no face was found in wall.png" in said
    options = ("--aligned", "--read", "pictures", *weights)
    assert run("transfer", "wall.png", "random:1", "a.png", *options)[0] == 0


def test_a_grid_looks_for_the_first_face_only_and_says_once_how_it_is_read(
    run, tmp_path, monkeypatch
):
    weights = ("--weights", world_weights(tmp_path / "w.safetensors"), "--landmarks", "dlib")
    wall, looked, find = np.full((256, 256, 3), 120, np.uint8), [], Tracker.find
    write_video("in.mp4", [wall, wall, *moving_face(6)])
    monkeypatch.setattr(Tracker, "find", lambda *given: looked.append(1) or find(*given))
    people = ["random:1", "random:2", "random:3"]
    status, said = run("transfer", ["in.mp4"], people, "out.png", "--grid", *weights)
    assert status == 0 and len(looked) == 3
    assert said.count("in.mp4 is read by its landmarks") == 1
    options = ("--grid", "--aligned", "--read", "pictures", *weights)
    assert run("transfer", ["in.mp4"], people, "aligned.png", *options)[0] == 0
    assert len(looked) == 3
    write_video("walls.mp4", [wall] * 3)
    status, said = run("transfer", "walls.mp4", people, "none.png", "--grid", *weights)
    assert status == 2 and "no face was found in any of the 3 frames of walls.mp4" in said


def test_parts_that_weights_know_in_part_are_said_and_unknown_ones_refused(run, tmp_path):
    weights = saved_weights(tmp_path / "w.safetensors", controls_of(untrained_model()))
    save("a.png", face_square())
    for grid in ((), ("--grid",)):
        words = ("a.png", "random:1", "out.png", "--aligned", *grid, "--weights", weights)
        status, said = run("transfer", *words, "--only", "mouth")
        assert status == 0 and said.count("no control of smile, pucker: --only mouth takes") == 1
        status, said = run("transfer", *words, "--only", "brows")
        assert status == 2 and "brows alone needs controls of brow or brow_tilt or frown" in said


def test_what_changes_nothing_or_is_brought_back_to_its_limit_is_said(run, tmp_path):
    controls = controls_of(untrained_model())
    controls.lowest[0], controls.highest[0] = -40.0, 40.0
    weights = ("--weights", saved_weights(tmp_path / "w.safetensors", controls))
    for factors, limit in (("yaw=500", "40"), ("yaw=-90,jaw=.5", "-40")):
        said = run("transfer", factors, "random:1", "a.png", *weights)[1]
        assert f"yaw_deg is taken as {limit}: these weights have seen no motion beyond" in said
    assert "is taken as" not in run("transfer", "yaw=39", "random:1", "a.png", *weights)[1]
    save("a_face.png", face_square())
    video("in.mp4", frames=2)
    options = ("--aligned", "--relative")
    status, said = run("transfer", "a_face.png", "random:1", "b.png", *options)
    assert status == 0 and "from a_face.png one picture is taken" in said
    status, said = run("reenact", "in.mp4", "random:1", "b.mp4", *options)
    assert status == 0 and "one picture" not in said


def test_factors_move_a_person_where_the_weights_carry_controls(run, tmp_path):
    weights = saved_weights(tmp_path / "w.safetensors", controls_of(untrained_model()))
    with_weights = ("--weights", weights)
    for text, out in (("jaw=.8", "a.png"), ("jaw=0.8,yaw=0", "b.png"), ("yaw=20", "c.png")):
        status, said = run("transfer", text, "random:1", out, *with_weights)
        assert status == 0, said
    assert not np.array_equal(read_pixels("a.png"), read_pixels("c.png"))
    assert run("transfer", "ears=1", "random:1", "d.png", *with_weights)[1] == (
        "xfer: there is no control 'ears'; there are yaw_deg, jaw\n"
    )
    assert "needs controls" in run("transfer", "yaw=20", "random:1", "d.png")[1]
    assert not os.path.exists("d.png")


SIZES = ((8, 12, 16, 20), (1, 2, 1, 1))


def restyle(n_styles, w_dim):
    """A ReStyle file, every weight by rule, at a tiny size."""
    weights = prefixed("encoder", encoder_state(restyle_shapes(*SIZES, n_styles, w_dim, 2)))
    return {"state_dict": weights, "latent_avg": given(5, (n_styles, w_dim))}


def save_public_files(model, inverter):
    """best_model.pt and the ReStyle file beside it, at a tiny size."""
    mapping = {"linear_relu.0.weight": [2048, 4096], "linear_relu.0.bias": [2048]}
    tensors = (
        prefixed("encoder", encoder_state(motion_shapes(*SIZES, 4, 512)))
        | encoder_state(prefixed("mapping_net", mapping))
        | prefixed("decoder", state(rosinality_generator(8, top=8)))
    )
    torch.save({"state_dict": tensors, "opts": {"n_styles": 4}}, model)
    torch.save(restyle(4, 512), inverter)


@torch.no_grad()
def test_the_commands_for_public_files_run_where_these_were_fetched_to(run):
    """As the README has them."""
    files = [registry.place(name) for name in ("pose-transfer-paper", "restyle-psp-ffhq")]
    files[0].parent.mkdir(parents=True)
    save_public_files(*files)
    for name in ("pose-transfer-paper", "restyle-psp-ffhq"):
        assert cli.main(["weights", "verify", name]) == 0
    save("you.jpg", HEAD)
    save("friend.jpg", HEAD[:, ::-1].copy())
    write_video("you.mp4", moving_face(3))
    paper = ("--preset", "paper", "--landmarks", "dlib")
    for verb, driver, out in (("transfer", "you.jpg", "a.png"), ("reenact", "you.mp4", "b.mp4")):
        status, said = run(verb, driver, "friend.jpg", out, *paper)
        assert status == 0 and "face world" not in said, said
    assert read_pixels("a.png").shape == (8, 8, 3)
    assert len(list(VideoReader("b.mp4"))) == 3
    files[1].unlink()
    status, said = run("transfer", "you.jpg", "friend.jpg", "c.png", *paper)
    assert status == 2 and "run `xfer weights fetch restyle-psp-ffhq`" in said


@torch.no_grad()
def test_the_paper_s_own_files_work_from_wherever_they_lie(run):
    save_public_files("best_model.pt", "restyle.pt")
    save("driver.png", HEAD)
    public = ("--weights", "best_model.pt", "--inverter", "restyle.pt", "--landmarks", "dlib")
    status, said = run("transfer", "driver.png", "driver.png", "out.png", *public)
    assert status == 0, said
    assert read_pixels("out.png").shape == (8, 8, 3)
    assert run("transfer", "driver.png", "random:5", "r.png", *public, "--rounds", "1")[0] == 0
    status, said = run("transfer", "driver.png", "driver.png", "x.png", *public[:2], *public[4:])
    assert status == 2 and "no identity encoder" in said
    torch.save(restyle(8, 16), "large.pt")
    status, said = run("transfer", "driver.png", "driver.png", "x.png", *public[:2],
                       "--inverter", "large.pt")  # fmt: skip
    assert status == 2 and "takes 4 styles of 512" in said


BAD = {
    "a missing driver": ("nobody.png", "random:1", "out.png", "there is no driver nobody.png"),
    "a text": ("letter.mp4", "random:1", "out.mp4", "letter.mp4"),
    "no face": ("wall.png", "random:1", "out.png", "no face was found in wall.png"),
    "16 pixels": ("tiny.png", "random:1", "out.png", "16 x 16 pixels, too few"),
    "a video without faces": ("walls.mp4", "random:1", "out.mp4", "no face was found in any"),
    "a video into a picture": ("walls.mp4", "random:1", "out.png", "a video is written as .mp4"),
    "another kind of output": ("wall.png", "random:1", "out.gif", "written as .png, .jpg"),
    "a driver written over": ("wall.png", "random:1", "wall.png", "would be written over"),
    "a person without number": ("wall.png", "random", "out.png", "such as random:7"),
    "a missing person": ("wall.png", "nobody.png", "out.png", "no identity nobody.png"),
    "a video as person": ("wall.png", "walls.mp4", "out.png", "an identity is a photo"),
    "a latent of another size": ("square.png", "other.npy", "out.png", "take latents of 8 x 64"),
    "a letter as a latent": ("square.png", "letter.npy", "out.png", "one array of numbers"),
    "an archive as a latent": ("square.png", "zip.npy", "out.png", "one array of numbers"),
    "a latent that is none": ("square.png", "objects.npy", "out.png", "is no latent"),
    "a damaged latent": ("square.png", "nan.npy", "out.png", "should hold finite numbers"),
    "no photo to paste into": (
        "walls.mp4",
        "random:1",
        "out.mp4",
        "no photo to paste into",
        "--paste",
        "photo",
    ),
    "parts without controls": (
        "walls.mp4",
        "random:1",
        "out.mp4",
        "needs controls",
        "--only",
        "pose",
    ),
    "a letter as a film": ("letter.mp4", "random:1", "out.png", "letter.mp4 is no video"),
    "a driver without a name": ("", "random:1", "out", "a driver is needed"),
    "a person without a name": ("square.png", "", "out.png", "an identity is needed"),
    "a photo and a random person": (
        "square.png",
        ["square.png", "random:7"],
        "out.png",
        "random:7 is a person by itself: --grid shows",
    ),
    "two random people": (
        "square.png",
        ["random:7", "random:8"],
        "out.png",
        "--between-identities one between two",
    ),
    "one driver between two": (
        "walls.mp4",
        "random:1",
        "out.mp4",
        "between_drivers takes two drivers; got 1",
        "--between-drivers",
        ".5",
    ),
    "a grid between two people": (
        ["square.png", "wall.png"],
        ["random:1", "random:2"],
        "out.png",
        "leave --between-identities away",
        "--grid",
        "--between-identities",
        ".5",
    ),
    "a camera on a grid": ("live:walls.mp4", "random:1", "out.png", "got the camera", "--grid"),
    "factors in words": ("yaw=much", "random:1", "out.png", "factors are numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_clear_error_and_no_file(case, run):
    save("wall.png", np.full((200, 200, 3), 120, np.uint8))
    save("tiny.png", face_square(16))
    save("square.png", face_square())
    write_video("walls.mp4", ramps(3))
    Path("letter.mp4").write_text("Dear reader")
    np.save("other.npy", np.zeros((18, 512), np.float32))
    np.save("nan.npy", np.full((8, 64), np.nan, np.float32))
    Path("letter.npy").write_text("Dear reader")
    np.savez("zip.npz", np.zeros((8, 64), np.float32))
    os.rename("zip.npz", "zip.npy")
    np.save("objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    driver, identity, out, message, *more = BAD[case]
    before = sorted(os.listdir())
    aligned = ("--aligned",) if driver == "square.png" else ()
    status, said = run("transfer", driver, identity, out, *aligned, *more)
    assert status == 2 and message in said and "Traceback" not in said
    assert "allow_pickle" not in said
    assert sorted(set(os.listdir()) - set(before)) == []


def test_no_output_is_written_over_an_input(run):
    for folder in ("clips", "me"):
        os.mkdir(folder)
    save("clips/a.png", face_square())
    video("clips/b.mp4", frames=2)
    save("clips/c.png", face_square())
    save("me/front.png", face_square())
    os.symlink("clips", "link")
    before = {path: path.read_bytes() for path in Path().rglob("*.*")}
    for drivers, identity, out in (
        (["clips/a.png", "clips/c.png"], "random:1", "clips"),
        ("clips", "random:1", "link"),
        (["clips/b.mp4", "clips/a.png"], "random:1", "link"),
        ("clips/a.png", "me", "me/front.png"),
        ("live:clips/b.mp4", "random:1", "link/b.mp4"),
        (["clips/a.png", "yaw=1"], "me/front.png", "me/front.png"),
    ):
        status, said = run("transfer", drivers, identity, out, "--aligned")
        assert status == 2 and "is an input: it would be written over" in said, (drivers, said)
    assert {path: path.read_bytes() for path in Path().rglob("*.*")} == before
    status, said = run("transfer", "clips/a.png", "me", "me/new.png", "--aligned")
    assert status == 0, said


def test_every_output_has_a_name_of_its_own(tmp_path):
    (tmp_path / "other").mkdir()
    given = ("z-3.png", "z.png", "other/z.png", "other/Z.png", "other/z-3.png")
    for name in given:
        (tmp_path / name).touch()
    texts = [str(tmp_path / name) for name in given] + ["yaw=1", "live:/dev/video0"]
    names = [path.name for path in command._targets(texts, Path("out"))]
    assert names == [
        "z-3.png", "z.png", "z-2.png", "Z-4.png", "z-3-2.png", "yaw=1.png",
        "live:_dev_video0.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("out, why", [
    ("taken.mp4", "it is a folder"), ("letter.txt/out.mp4", "letter.txt is no folder"),
    ("shut/new/out.mp4", "shut may not be written to"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_noticed_before_frames_are(out, why, run, monkeypatch):
    for folder in ("taken.mp4", "shut"):
        os.mkdir(folder)
    Path("letter.txt").write_text("Dear reader")
    video("in.mp4", frames=2)
    # A superuser may write anywhere.
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, how: may(path, how) and Path(path).name != "shut"
    )
    monkeypatch.setattr(command, "open_studio", None)
    status, said = run("reenact", "in.mp4", "random:1", out, "--aligned")
    assert status == 2 and why in said and os.listdir("shut") == [], said


NO_FILM = {
    "yaw=10": "'yaw=10' is one pose: xfer transfer",
    "square.png": "square.png is a picture: use xfer transfer",
    "notes.txt": "notes.txt is neither a video nor a picture",
    "nobody.mp4": "there is no driver nobody.mp4",
    "": "a driver is needed",
    ".": "is a folder: use xfer transfer",
}


@pytest.mark.parametrize("driver", NO_FILM)
def test_a_film_is_driven_by_a_video_only(driver, run):
    save("square.png", face_square())
    Path("notes.txt").write_text("not a driver")
    status, said = run("reenact", driver, "random:1", "out.mp4", "--aligned")
    assert status == 2 and NO_FILM[driver] in said and not os.path.exists("out.mp4")


def test_a_film_takes_as_many_drivers_as_it_can_show(run):
    video("in.mp4", frames=2)
    for drivers, more in ((["in.mp4"] * 2, ()), (["in.mp4"], ("--between-drivers", ".5"))):
        status, said = run("reenact", drivers, "random:1", "out.mp4", "--aligned", *more)
        assert status == 2 and "one video drives, or two with --between-drivers" in said


def test_missing_weights_are_named(run):
    save("a.png", face_square())
    status, said = run("transfer", "a.png", "random:1", "out.png", "--weights", "none.safetensors")
    assert status == 2 and "none.safetensors does not exist" in said


def test_a_preset_that_is_not_shipped_says_how_to_get_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    status, said = run("transfer", "yaw=1", "random:1", "out.png", "--preset", "medium")
    assert status == 2 and "no weights are shipped for preset medium" in said
    assert "can be opened are nano, paper." in said
    assert "`xfer train all --preset medium --out FOLDER`" in said


def test_an_interrupted_film_leaves_nothing_under_its_name(run, monkeypatch):
    video("in.mp4")
    add = VideoWriter.add

    def breaking(self, *arguments):
        if self.frames == 3:
            raise KeyboardInterrupt
        add(self, *arguments)

    monkeypatch.setattr(VideoWriter, "add", breaking)
    status, _ = run("reenact", "in.mp4", "random:1", "out.mp4", "--aligned")
    assert status == 130
    assert [name for name in os.listdir() if "out" in name] == []


def test_a_nodding_video_has_different_frames():
    frames = nodding(3)
    assert not np.array_equal(frames[0], frames[1])
