"""A state is all there is to a picture; every part of it does what it says."""

import dataclasses
import json

import pytest
import torch
from moving_pictures import moving_face, write_video
from small_studio import portrait, same, small_studio

from xfer.controls.factors import FARTHEST
from xfer.errors import BadFile, BadValue, MissingFile
from xfer.explorer import Explorer, State


@pytest.fixture(scope="module")
def explorer():
    return Explorer(small_studio(), frames=3)


def test_equal_states_give_equal_pictures_also_to_another_explorer(explorer):
    state = State(seed=3, frame=2, controls={"yaw_deg": 0.5}, components={0: 1.0})
    assert same(explorer.view(state), explorer.view(state))
    assert same(explorer.view(state), Explorer(small_studio(), frames=3).view(state))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 9}, {"mix": 0.5}, {"psi": 0.3}, {"motion": "own"}, {"clip_seed": 8}, {"frame": 2},
        {"strength": 0.4}, {"layers": (0, 2)}, {"controls": {"jaw": 1.0}}, {"components": {1: 2.0}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_part_changes_the_picture(explorer, change):
    start = State()
    assert not same(explorer.view(start), explorer.view(dataclasses.replace(start, **change)))


def test_no_strength_leaves_the_persons_own_motion(explorer):
    still, own = explorer.view(State(strength=0.0)), explorer.view(State(motion="own"))
    assert torch.allclose(still, own, atol=1e-4)


def test_a_mix_ends_at_the_other_person(explorer):
    other = explorer.view(State(seed=7, motion="own"))
    mixed = explorer.view(State(seed=1, other_seed=7, mix=1.0, motion="own"))
    assert torch.allclose(mixed, other, atol=1e-4)


def test_controls_move_their_factor_by_what_is_asked(explorer):
    state = State(controls={"yaw_deg": 2.5})
    subject = explorer.identity(state)
    read = explorer.studio.controls.read
    moved = read(explorer.motion(state, subject)) - read(explorer.driver(state, subject))
    assert moved[0].tolist() == pytest.approx([2.5, 0.0], abs=1e-4)


def test_no_slider_leads_further_than_motions_do(explorer):
    """Two factors that go together leave little room to each alone."""
    controls = explorer.studio.controls
    assert [explorer.reach(name) for name in ("yaw_deg", "jaw")] == [3.0, 3.0]
    controls.seen.copy_(torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    alone = (1 - 0.9**2) ** 0.5
    assert explorer.reach("jaw") == pytest.approx((FARTHEST * 2) ** 0.5 * alone, rel=1e-3)


def test_components_are_orthogonal_and_sorted(explorer):
    axes = explorer.components()
    lengths = axes.norm(dim=1)
    assert (lengths[:-1] >= lengths[1:]).all()
    few = axes[:4] / lengths[:4, None]
    assert torch.allclose(few @ few.T, torch.eye(4), atol=1e-4)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return portrait(tmp_path_factory.mktemp("photo"))


def test_a_photo_is_shown_instead_of_the_random_person(explorer, photo):
    known = explorer.view(State(photo=photo, motion="own"))
    assert not same(known, explorer.view(State(motion="own")))
    assert same(known, explorer.view(State(photo=photo, seed=9, motion="own")))
    assert not same(known, explorer.view(State(photo=photo, mix=0.5, motion="own")))


def test_a_picture_drives_and_is_the_same_in_every_frame(explorer, photo):
    driven = explorer.view(State(motion="file", file=photo))
    assert not same(driven, explorer.view(State(motion="own")))
    assert same(driven, explorer.view(State(motion="file", file=photo, frame=2)))
    assert explorer.length(State(motion="file", file=photo)) == explorer.frames


def test_a_photo_is_driven_by_a_picture(explorer, photo):
    """Whose motion a picture shows does not depend on who is to show it."""
    state = State(photo=photo, motion="file", file=photo)
    subject, driver = explorer.identity(state), explorer.track(state)
    assert same(driver.h, explorer.track(State(motion="file", file=photo)).h)
    assert explorer.motion(state, subject).shape == subject.own.shape


def test_all_frames_of_a_video_drive(explorer, tmp_path):
    path = write_video(tmp_path / "five.mp4", moving_face(5, step=6))
    state = State(motion="file", file=str(path))
    assert explorer.length(state) == 5 and explorer.remark(state) == ""
    assert not same(explorer.view(state), explorer.view(dataclasses.replace(state, frame=4)))
    with pytest.raises(BadValue, match="the driver has 5 frames; got number 5"):
        explorer.view(dataclasses.replace(state, frame=5))


def test_of_a_long_video_the_first_frames_drive_and_that_is_told(tmp_path):
    explorer = Explorer(small_studio(), frames=3, longest=4)
    path = write_video(tmp_path / "six.mp4", moving_face(6))
    state = State(motion="file", file=str(path))
    assert explorer.length(state) == 4
    assert explorer.remark(state) == "The first 4 of the video's 6 frames drive."


def test_a_state_goes_to_json_and_back(tmp_path):
    state = State(5, 6, 0.25, layers=(1, 3), controls={"jaw": 0.5}, components={2: -1.0})
    assert State.load(state.save(tmp_path / "s.json")) == state
    json.loads((tmp_path / "s.json").read_text())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no saved state"),
        ('{"sed": 3}', "did you mean 'seed'"),
        ('{"psi": 3}', "psi is between 0 and 1; got 3"),
        ('{"motion": "dance"}', "motion is clip, file, own"),
        ('{"layers": [3, 1]}', "layers are first and last"),
        ('{"layers": 3}', "cannot unpack"),
        ("[1]", "a table of values"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, text, told):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises((BadFile, BadValue), match=told):
        State.load(tmp_path / "s.json")


def test_what_is_not_there_is_named(explorer, tmp_path):
    with pytest.raises(MissingFile, match="no saved state"):
        State.load(tmp_path / "none.json")
    with pytest.raises(BadValue, match="3 frames; got number 9"):
        explorer.view(State(frame=9))
    with pytest.raises(BadValue, match="no control"):
        explorer.view(State(controls={"nose": 1.0}))
    with pytest.raises(MissingFile, match="no driver"):
        explorer.view(State(motion="file", file="/nowhere.jpg"))
