"""Clips on disk: what is written comes back; people and clips out of a small generator."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lamp import Lamp

from xfer.control import Control
from xfer.data import clips as store
from xfer.data import synthesize as room
from xfer.data.synthesize import UNITS, SynthesizeConfig, sample_motion, synthesize
from xfer.errors import BadFile, BadValue, MissingFile, RunError
from xfer.landmarker import FACTORS

SIZE, STYLES, WIDTH = 32, 6, 8


def picture(shade: int) -> np.ndarray:
    """A smooth picture, so that JPEG changes it by a level or two."""
    ramp = np.linspace(0, 40, SIZE, dtype=np.float32)
    return (shade + ramp[:, None, None] + ramp[None, :, None] / 2 + np.zeros(3)).astype(np.uint8)


def some_clips(folder, people=12, frames=4):
    """Clips with codes whose last styles never move."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((people, 1, STYLES, WIDTH)).repeat(frames, 1)
    codes[:, :, :2] += rng.standard_normal((people, frames, 2, WIDTH))
    for person in range(people):
        images = [picture(10 * person + i) for i in range(frames)]
        factors = np.full((frames, 3), person) + np.arange(frames)[:, None]
        store.write_clip(
            folder, f"clip {person}", f"person {person}", images, "generated",
            codes[person], {"factors": factors.astype(np.float32)},
        )  # fmt: skip
    return store.write_index(folder), codes


def test_frames_codes_and_factors_come_back(tmp_path):
    _, codes = some_clips(tmp_path)
    clips = store.open_clips(tmp_path)
    assert len(clips) == 12
    with pytest.raises(BadValue, match="frames 0 to 3; got 4"):
        clips.image(clips.clips[0], 4)
    for clip in clips.clips:
        person = int(clip.name.split()[1])
        for i in range(clip.n_frames):
            error = np.abs(clips.image(clip, i).astype(int) - picture(10 * person + i))
            assert error.max() <= 3
            np.testing.assert_array_equal(clips.w_plus(clip, i), store.stored(codes[person, i]))
            np.testing.assert_array_equal(clips.factors(clip, i), np.full(3, person + i))
    assert clips.array(clips.clips[0], "factors").shape == (4, 3)
    assert clips.array(clips.clips[0], "landmarks") is None


def test_real_clips_have_no_codes_and_any_name(tmp_path):
    for name in ("a/b:c?.mp4", "x" * 300, "\udcff odd"):
        store.write_clip(tmp_path, name, name, [picture(9)], name)
    clips = store.write_index(tmp_path)
    assert {clips.w_plus(clip, 0) for clip in clips.clips} == {None}
    assert {clips.factors(clip, 0) for clip in clips.clips} == {None}
    assert len(clips) == 3


def test_many_people_share_a_file(tmp_path):
    file = "clips/x.safetensors"
    people = [store.Clip(f"p{i}", f"p{i}", "train", 1, "generated", file, i) for i in range(5)]
    codes = np.arange(5.0)[:, None, None].repeat(STYLES, 1).repeat(WIDTH, 2)
    pages = [store.encode(picture(20 * i)) for i in range(5)]
    store.write_clips(tmp_path, people, pages, codes)
    clips = store.write_index(tmp_path)
    for i, clip in enumerate(clips.clips):
        assert clips.w_plus(clip, 0)[0, 0] == i
        assert abs(int(clips.image(clip, 0)[0, 0, 0]) - 20 * i) <= 3


def test_nobody_is_in_two_splits_and_shares_are_as_stated():
    splits = [store.split_of(f"person {i}") for i in range(5000)]
    shares = [splits.count(name) / 5000 for name in store.SPLITS]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)
    assert store.split_of("person 7") == splits[7]


def test_pairs_are_a_function_of_the_numbers_and_never_the_same_frame_or_person(tmp_path):
    clips = some_clips(tmp_path)[0].clips
    pairs = [store.sample_pair(clips, 3, step, sample) for step in range(50) for sample in range(4)]
    assert pairs == [store.sample_pair(clips, 3, s, b) for s in range(50) for b in range(4)]
    for driver, same, other in pairs:
        assert driver[0] == same[0] and driver[1] != same[1]
        assert other[0].person != driver[0].person
    assert len({pair.driver[0].name for pair in pairs}) == 12
    assert len(set(pairs)) > 190


def test_a_single_frame_is_a_pair_with_itself_and_pairs_need_two_people():
    clips = [store.Clip(name, name, "train", 1, "generated", "x") for name in "ab"]
    driver, same, other = store.sample_pair(clips, 0, 0, 0)
    assert driver == same and other[0].person != driver[0].person
    for few in ([], clips[:1]):
        with pytest.raises(BadValue, match="clip"):
            store.sample_pair(few, 0, 0, 0)


def test_the_index_follows_from_the_files_alone(tmp_path):
    some_clips(tmp_path)
    before = (tmp_path / store.INDEX).read_bytes()
    (tmp_path / store.INDEX).unlink()
    with pytest.raises(MissingFile, match="prepare"):
        store.open_clips(tmp_path)
    store.write_index(tmp_path)
    assert (tmp_path / store.INDEX).read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_named(tmp_path, damage):
    clips = some_clips(tmp_path, people=1)[0]
    path = tmp_path / clips.clips[0].file
    data = path.read_bytes()
    noise = np.random.default_rng(0).bytes(2000)
    path.write_bytes({"cut": data[:-900], "noise": noise, "empty": b""}[damage])
    with pytest.raises(BadFile, match="safetensors"):
        for i in range(4):
            clips.image(clips.clips[0], i)


N = len(FACTORS)


class Mover(Control):
    """Moves the first style by the units themselves."""

    def move(self, w_plus, units):
        moved = w_plus.clone()
        moved[:, 0, :N] += units
        return moved


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Settings of a small synthesis by a small generator, whose reader reads the colour."""
    noise = (np.random.default_rng(0).standard_normal((1000, N)) * UNITS).astype(np.float32)
    read = lambda landmarks, _: torch.from_numpy(noise[landmarks[:, 0, 0].long()])
    reader = SimpleNamespace(
        landmarks=lambda image, _: (np.full((478, 3), image[0, 0, 0], np.float32), 1.0),
        blendshapes=lambda _: np.zeros(52, np.float32),
    )
    monkeypatch.setattr(room, "Generator", SimpleNamespace(load=lambda _: Lamp()))
    monkeypatch.setattr(room, "Landmarker", lambda *_, **__: reader)
    monkeypatch.setattr(room, "read_factors", read)
    model = SimpleNamespace(asset="ffhq", control=Mover.__new__(Mover))
    monkeypatch.setattr(room, "load", lambda _: model)
    return SynthesizeConfig(out=str(tmp_path), people=60, block=20, clips=9, frames=5, size=32)


def test_people_have_their_code_psi_and_readings(tiny):
    people, _ = synthesize(tiny)
    assert len(people) == len({clip.person for clip in people.clips}) == 60
    for clip in people.clips[:5]:
        code = people.w_plus(clip, 0)
        assert (code == code[0]).all()
        shade = people.image(clip, 0)
        assert shade.shape == (32, 32, 3)
        assert abs(float(shade.mean()) - (code[0, 0] + 1) * 127.5) < 2
        assert 0.5 <= people.array(clip, "psi")[0] <= 1
        assert people.array(clip, "landmarks").shape == (1, 478, 3)


def test_clips_are_of_people_and_their_frames_are_known(tiny):
    people, clips = synthesize(tiny)
    assert len(clips) == 9
    for clip in clips.clips:
        (own,) = (person for person in people.clips if person.name == clip.person)
        assert clip.n_frames == 5 and clip.split == own.split == store.split_of(own.name)
        units, rest = clips.array(clip, "units"), people.w_plus(own, 0)
        for i in range(5):
            code = clips.w_plus(clip, i)
            np.testing.assert_array_equal(code[1:], rest[1:])
            np.testing.assert_allclose(code[0, :N] - rest[0, :N], units[i], atol=3e-3)
            shade = (np.clip(code[0, 0], -1, 1) + 1) * 127.5
            assert abs(float(clips.image(clip, i).mean()) - shade) < 2


def test_a_stopped_synthesis_goes_on_to_the_same_bytes_and_more_people_are_added(tiny, tmp_path):
    synthesize(tiny)
    paths = [path for part in ("people", "clips") for path in (tmp_path / part).rglob("*")]
    whole = {p: p.read_bytes() for p in paths if p.suffix == ".safetensors" or p.suffix == ".jsonl"}
    assert len(whole) == 3 + 9 + 2
    for path in list(whole)[::2]:
        path.unlink()
    synthesize(tiny)
    assert {path: path.read_bytes() for path in whole} == whole
    before = store.open_clips(tmp_path / "people").clips
    more = SynthesizeConfig(**{**vars(tiny), "people": 80, "clips": 0})
    assert synthesize(more)[0].clips[:60] == before
    with pytest.raises(RunError, match="size was"):
        synthesize(SynthesizeConfig(**{**vars(tiny), "size": 64}))
    room.Landmarker().landmarks = lambda *_: (np.zeros((478, 3), np.float32), 0.0)
    with pytest.raises(BadValue, match="required that generates faces; ffhq does not"):
        synthesize(SynthesizeConfig(**{**vars(tiny), "people": 100}))
    with pytest.raises(BadValue, match="control that moves other; ffhq moves ffhq"):
        room.open_control("ffhq", "other")


def motions(frames=32, fps=8.0, own=None, spread=1.0):
    usual = np.where(np.array(FACTORS) == "lids", 3 * UNITS, 0.0)
    readings = usual + spread * UNITS * np.random.default_rng(1).standard_normal((500, N))
    own = usual if own is None else own
    draw = lambda i: sample_motion(readings, own, frames, fps, np.random.default_rng(i))
    return np.stack([draw(i) for i in range(200)])


def test_motion_has_the_spread_of_what_was_read_and_is_bounded():
    units = motions()
    assert units.shape == (200, 32, N) and units.dtype == np.float32
    spread = units.reshape(-1, N).std(0)
    assert (spread > 0.75).all() and (spread < 1.5).all()
    assert np.abs(units).max() <= 3.5


def test_heads_turn_to_the_angles_of_others_and_expressions_are_relative():
    mean = motions(own=2.0 * UNITS, spread=0.2).mean((0, 1))
    at = FACTORS.index
    np.testing.assert_allclose(mean[[at("yaw"), at("pitch")]], -2.0, atol=0.1)
    np.testing.assert_allclose(mean[[at("smile"), at("gaze_x"), at("brow_up")]], 0.0, atol=0.1)


def test_eyes_blink_and_mouths_speak():
    units = motions(spread=0.05, frames=250, fps=25.0)
    lids, lips = units[..., FACTORS.index("lids")], units[..., FACTORS.index("lip_gap")]
    starts = ((lids[:, 1:] < -1.35) & (lids[:, :-1] >= -1.35)).sum() / (200 * 10)
    assert 0.2 < starts < 0.5  # blinks a second
    assert 0.3 < (lips > 0.2).mean() < 0.7
    still = units[..., FACTORS.index("smile")]
    assert np.abs(np.diff(still, axis=1)).max() < 0.1  # a smile comes slowly
