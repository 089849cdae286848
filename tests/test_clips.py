import numpy as np
import pytest

from xfer.data import clips as store
from xfer.errors import BadFile, BadValue, MissingFile

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
