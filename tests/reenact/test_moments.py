"""From frames to motions to people: held faces, flat memory, known answers."""

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from moving_pictures import moving_face, write_video
from PIL import Image
from reenact_world import close, face_square, studio
from skimage.data import astronaut

from xfer.controls.landmarks import LandmarkReader, LandmarkReaderConfig
from xfer.errors import BadValue, NoFace
from xfer.media.detectors import Box, open_detector
from xfer.media.landmarks import Face, find_face
from xfer.media.quality import _HEAD
from xfer.media.video import Frame
from xfer.pixels import from_uint8
from xfer.reenact import drivers, filming
from xfer.reenact.drivers import Driver, find_place, open_driver
from xfer.reenact.filming import shown
from xfer.reenact.identities import Photo, from_code, from_photos, random_code
from xfer.reenact.moments import Moment, blended, factor_moment, moments, parse_factors
from xfer.reenact.places import Place, cut, place_of, whole_square
from xfer.reenact.placing import _tilt, _turned, tilted
from xfer.reenact.settings import Settings
from xfer.reenact.studio import _key

STUDIO = studio(with_controls=True)
ALIGNED = Path(__file__).parents[1] / "data" / "align" / "astronaut_256.png"


def film(numbers_with_face, count):
    """A driver of ever lighter frames, some without a face."""
    pixels = [np.full((32, 32, 3), 8 * n, np.uint8) for n in range(count)]
    frames = [Frame(p, n / 25, n) for n, p in enumerate(pixels)]
    driver = Driver(Path("film"), True, frames=count, reader=frames)
    driver.places = {n: Place(whole_square(pixels[n]), None) for n in numbers_with_face}
    return driver


def motions(driver, batch=3):
    own = torch.zeros(1, STUDIO.model.motion_encoder.config.bottleneck)
    return list(moments(driver, STUDIO, own, "pictures", batch))


def test_a_lost_face_keeps_its_motion_and_is_recovered():
    found = motions(film([2, 3, 6], 8))
    h = torch.cat([moment.h for moment in found])
    assert [moment.frame.number for moment in found] == list(range(8))
    same = lambda a, b: torch.equal(h[a], h[b])
    assert same(0, 2) and same(1, 2) and same(4, 3) and same(5, 3) and same(7, 6)
    assert not same(2, 3) and not same(3, 6)


def test_frames_are_read_no_further_ahead_than_a_batch():
    driver, read = film(range(30), 30), []

    def counted(frames=driver.reader):
        for frame in frames:
            read.append(frame.number)
            yield frame

    driver.reader = counted()
    own = torch.zeros(1, STUDIO.model.motion_encoder.config.bottleneck)
    subject = from_code(random_code(STUDIO, 1, Settings()), STUDIO)
    found = moments(driver, STUDIO, own, "pictures", 4)
    for done, _ in enumerate(shown(found, subject, STUDIO, Settings(batch=4))):
        assert len(read) <= done + 1 + 2 * 4


class Fresh:
    """A reader whose frames are made when they are asked for; counts those that somebody holds."""

    def __init__(self, count):
        self.count, self.most, self._held = count, 0, []

    def __iter__(self):
        for number in range(self.count):
            pixels = np.full((32, 32, 3), 8 * number, np.uint8)
            self._held = [held for held in self._held if held() is not None]
            self._held.append(weakref.ref(pixels))
            self.most = max(self.most, len(self._held))
            yield Frame(pixels, number / 25, number)


def test_no_frames_wait_in_memory_for_the_first_face():
    driver, reader = film([25, 26], 30), Fresh(30)
    driver.reader = reader
    own = torch.zeros(1, STUDIO.model.motion_encoder.config.bottleneck)
    found = [(m.frame.number, m.h) for m in moments(driver, STUDIO, own, "pictures", 4)]
    assert [number for number, _ in found] == list(range(30))
    assert all(close(h, found[25][1]) for _, h in found[:25])
    assert not close(found[0][1], found[26][1])
    assert reader.most <= 2 * 4 + 1, "a batch, and the one before until it is done"
    driver.places = {}
    with pytest.raises(NoFace, match="no face was found in film"):
        next(moments(driver, STUDIO, own, "pictures", 4))


@torch.no_grad()
def test_the_film_shows_what_the_plain_path_gives():
    model = STUDIO.model
    driver, subject = film(range(4), 4), from_code(random_code(STUDIO, 1, Settings()), STUDIO)
    pixels = list(shown(motions(driver), subject, STUDIO, Settings()))
    drivers = torch.cat([from_uint8(frame.pixels[None]) for frame in driver.reader])
    plain = model.transfer(drivers, subject.person.identity)
    found = from_uint8(np.stack(pixels))
    assert (found - plain.clamp(-1, 1)).abs().max() < 1.01 / 127.5


@torch.no_grad()
def test_strength_zero_films_the_person_s_own_motion():
    model = STUDIO.model
    image = from_uint8(face_square(32)[None])
    photo = Photo(face_square(32), Place(whole_square(face_square(32)), None))
    subject = from_photos([photo], STUDIO, Settings())
    assert close(subject.person.identity, model.identify(image))
    assert close(subject.own, model.motion_encoder.bottleneck(image))
    (still, *_) = shown(motions(film([0], 1)), subject, STUDIO, Settings(strength=0))
    own = model.transfer(image, subject.person.identity).clamp(-1, 1)
    assert (from_uint8(still[None]) - own).abs().max() < 1.01 / 127.5


@torch.no_grad()
def test_codes_of_several_photos_are_averaged():
    pictures = [face_square(32), face_square(32)[:, ::-1].copy()]
    photos = [Photo(p, Place(whole_square(p), None)) for p in pictures]
    both = from_photos(photos, STUDIO, Settings())
    single = [from_photos([photo], STUDIO, Settings()) for photo in photos]
    mean = torch.stack([s.person.identity for s in single]).mean(0)
    assert close(both.person.identity, mean)
    assert close(both.own, torch.stack([s.own for s in single]).mean(0))


def test_the_film_ends_when_the_driver_does_and_a_shorter_second_driver_waits():
    first, second = motions(film(range(5), 5)), motions(film(range(2), 2))
    mixed = list(blended(first, second, 0.5))
    assert len(mixed) == 5
    assert torch.allclose(mixed[4].h, (first[4].h + second[1].h) / 2)
    with pytest.raises(BadValue, match="second driver has no frames"):
        list(blended(first, [], 0.5))


def of_the_face_world():
    """A studio that reads 10 deg of yaw for every tenth that point 30 goes to the right."""
    reader = LandmarkReader(LandmarkReaderConfig(("yaw_deg", "gaze_x"))).eval()
    reader.weight[0, 60] = 100.0
    return replace(STUDIO, landmark_reader=reader)


def with_landmarks(rendered):
    driver = film(range(3), 3)
    driver.rendered = rendered
    for number, place in driver.places.items():
        marks = torch.zeros(1, 68, 2)
        marks[:, 30, 0] = 0.1 * number
        driver.places[number] = place._replace(landmarks=marks)
    return driver


def test_drivers_from_elsewhere_are_read_by_landmarks_and_it_says_so(capsys):
    world = of_the_face_world()
    own = torch.randn(1, world.model.motion_encoder.config.bottleneck)
    driver = with_landmarks(False)
    first, found = (
        torch.cat([m.h for m in moments(driver, world, own, "auto", 2)]) for _ in range(2)
    )
    assert capsys.readouterr().err.count("film is read by its landmarks") == 1
    assert torch.equal(first, found)
    factors = world.controls.read(found)
    assert torch.allclose(factors[:, 0], torch.tensor([0.0, 10.0, 20.0]), atol=1e-3)
    assert torch.allclose(found[:, 2:], own[:, 2:].expand(3, -1))


def test_without_controls_it_says_that_weights_make_little_of_drivers_from_elsewhere(capsys):
    plain = replace(STUDIO, controls=None, taught_by_renderer=True)
    own = torch.zeros(1, STUDIO.model.motion_encoder.config.bottleneck)
    for rendered, said in ((True, 0), (False, 1)):
        driver = with_landmarks(rendered)
        for _ in range(2):
            list(moments(driver, plain, own, "auto", 2))
        assert capsys.readouterr().err.count("run `xfer train controls`") == said


def test_the_frames_of_an_aligned_video_stay_whole_squares_with_landmarks(tmp_path):
    path = write_video(tmp_path / "in.mp4", moving_face(4))
    driver = open_driver(path, open_detector("dlib"), aligned=True)
    assert sorted(driver.places) == [0, 1, 2, 3]
    for frame, place in driver:
        assert all(map(torch.equal, place.crop, whole_square(frame.pixels)))
        assert place.landmarks.abs().max() < 1.2
    assert not torch.equal(driver.places[0].landmarks, driver.places[3].landmarks)


def test_a_followed_face_has_its_place_in_every_frame_and_in_no_other(tmp_path):
    path = write_video(tmp_path / "in.mp4", moving_face(3))
    driver = open_driver(path, open_detector("dlib"), smoothing_s=0)
    assert list(driver.places) == [0, 1, 2] and len(driver.places) == 3
    assert driver.places.get(3) is None and driver.places.get(-1) is None
    for number, frame in enumerate(driver.reader):
        face = find_face(open_detector("dlib"), frame.pixels)
        alone, place = place_of(face.points, face.points), driver.places[number]
        assert (alone.crop.center - place.crop.center).abs().max() < 1
        assert (alone.landmarks - place.landmarks).abs().max() < 0.03


def head_turned_by(degrees):
    """Landmarks of a plain head that looks aside."""
    angle, points = np.deg2rad(degrees), np.zeros((68, 2), np.float32)
    for row, (x, y, z) in _HEAD.items():
        points[row] = 2 * (x * np.cos(angle) + z * np.sin(angle)) + 200, 2 * y + 200
    for left, right in ((36, 39), (42, 45)):
        points[left : right + 1] = np.linspace(points[left], points[right], 4)
        points[right + 1 : right + 3] = (points[left] + points[right]) / 2
    return points


@pytest.mark.parametrize("degrees, warned", [(-70, True), (20, False), (50, False), (75, True)])
def test_a_head_seen_from_the_side_is_warned_of(degrees, warned, monkeypatch, capsys):
    face = Face(head_turned_by(degrees), Box(100, 100, 300, 300, 1.0), 0)
    monkeypatch.setattr(drivers, "find_face", lambda *_: face)
    find_place(np.zeros((400, 400, 3), np.uint8), open_detector("dlib"), "me.jpg")
    said = capsys.readouterr().err
    assert (f"me.jpg: the head is turned by {abs(degrees)} deg" in said) is warned
    assert bool(said) is warned


def test_a_photograph_gives_the_aligned_face_of_the_public_code():
    """Landmarks are read anew here, and may lie some tenths of a pixel apart."""
    place = find_place(astronaut(), open_detector("dlib"), "the astronaut")
    found = (cut(astronaut(), place.crop, 256, True)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(found - np.array(Image.open(ALIGNED)).astype(float)).mean() < 6


def test_rendered_drivers_and_real_weights_are_read_by_the_motion_encoder(capsys):
    own = torch.zeros(1, STUDIO.model.motion_encoder.config.bottleneck)
    for driver, place in ((with_landmarks(True), of_the_face_world()),
                          (with_landmarks(False), STUDIO)):  # fmt: skip
        found = torch.cat([m.h for m in moments(driver, place, own, "auto", 2)])
        images = torch.cat([from_uint8(frame.pixels[None]) for frame in driver.reader])
        assert close(found, STUDIO.model.motion_encoder.bottleneck(images))
    assert capsys.readouterr().err == ""
    with pytest.raises(BadValue, match="needs controls and a landmark reader"):
        list(moments(with_landmarks(False), STUDIO, own, "landmarks", 2))


def test_factors_are_set_from_the_person_s_own_motion():
    own = torch.randn(1, STUDIO.model.motion_encoder.config.bottleneck)
    moved = factor_moment(STUDIO, own, {"yaw": 20.0}).h
    factors = STUDIO.controls.read(moved)
    assert factors[0, 0] == pytest.approx(20, abs=1e-3)
    assert torch.equal(factors[0, 1], STUDIO.controls.read(own)[0, 1])
    assert torch.equal(moved[0, 2:], own[0, 2:])


def test_factors_are_written_as_names_and_numbers():
    assert parse_factors("yaw_deg=20,smile=.5") == {"yaw_deg": 20.0, "smile": 0.5}
    assert parse_factors("holiday.png") is None
    with pytest.raises(BadValue, match="factors are finite"):
        parse_factors("yaw=inf")


def test_a_random_person_is_remembered_for_weights_that_have_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XFER_CACHE", str(tmp_path))
    kept = replace(STUDIO, key="weights")
    code = random_code(kept, 5, Settings())
    (file,) = (tmp_path / "people").iterdir()
    assert torch.equal(random_code(kept, 5, Settings()), code)
    np.save(file, np.ones((8, 64), np.float32))
    assert torch.equal(random_code(kept, 5, Settings()), torch.ones(1, 8, 64))
    assert not torch.equal(random_code(kept, 6, Settings()), code)


def test_a_random_person_is_remembered_by_the_inverter_s_file_not_by_its_name(tmp_path):
    weights, inverter = tmp_path / "weights.pt", tmp_path / "inverter.pt"
    weights.write_bytes(b"weights")
    inverter.write_bytes(b"one")
    first = _key(weights, inverter)
    assert _key(weights, f"{tmp_path}/./inverter.pt") == first != _key(weights, None)
    inverter.write_bytes(b"another")
    assert _key(weights, inverter) != first


def test_tilting_moves_the_picture_clockwise():
    """A bright spot above the middle goes to the right when the picture is tilted by 90 deg."""
    pixels = np.zeros((65, 65, 3), np.uint8)
    pixels[8:17, 28:37] = 255
    spot = tilted(pixels, 90.0)[..., 0]
    y, x = (spot * np.indices(spot.shape)).sum((1, 2)) / spot.sum()
    assert abs(y - 32) < 1.5 and abs(x - 52) < 1.5
    crop = _turned(whole_square(pixels), 30.0)
    assert float(crop.roll_deg) == pytest.approx(30)


def turned_to(*degrees):
    """Moments of a driver with these tilts; None while no face is in sight."""
    square = whole_square(face_square(32))
    places = [None if deg is None else Place(_turned(square, deg), None) for deg in degrees]
    return [Moment(torch.zeros(1, 4), Frame(face_square(32), 0.0, 0), place) for place in places]


@pytest.mark.parametrize(
    "options, own, driver, shown",
    [
        ({"relative": True}, 0.0, (15, 20, None, None, 25), (0, 5, 5, 5, 10)),
        ({"relative": True}, 3.0, (None, 15, 20), (3, 3, 8)),
        ({"strength": 0.5}, 4.0, (None, 20, None, 10), (4, 12, 12, 7)),
    ],
)
def test_tilt_follows_the_driver_and_rests_while_no_face_is_in_sight(options, own, driver, shown):
    tilt = _tilt(Settings(roll=True, **options), own)
    found = [tilt(moment) for moment in turned_to(*driver)]
    assert found == pytest.approx(shown, abs=1e-3)


def test_relative_tilt_starts_from_the_person_s_own():
    h = torch.zeros(1, STUDIO.model.motion_encoder.config.bottleneck)
    frames = [moment._replace(h=h) for moment in turned_to(15, 15)]
    subject = from_code(random_code(STUDIO, 1, Settings()), STUDIO)
    upright = list(shown(frames, subject, STUDIO, Settings()))
    own = list(shown(frames, subject, STUDIO, Settings(relative=True)))
    relative = list(shown(frames, subject, STUDIO, Settings(roll=True, relative=True)))
    absolute = list(shown(frames, subject, STUDIO, Settings(roll=True)))
    assert not np.array_equal(absolute[1], upright[1])
    assert np.array_equal(relative[1], own[1])


def test_what_was_made_is_told_in_a_line():
    assert str(filming.Made(Path("a.mp4"), 50, 2.0)) == "a.mp4: 50 frames, 25.0 a second"
