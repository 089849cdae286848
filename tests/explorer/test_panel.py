"""The widgets, driven as a browser would: by setting their values and clicking."""

import dataclasses

import pytest
from moving_pictures import moving_face, write_video
from small_studio import portrait, small_studio

from xfer.errors import BadValue, MissingFile
from xfer.explorer import Explorer, State
from xfer.explorer.panel import NO_PRESET, PRESETS, Panel


@pytest.fixture(scope="module")
def explorer():
    return Explorer(small_studio(), frames=3, longest=4)


@pytest.fixture
def panel(explorer, tmp_path):
    return Panel(explorer, tmp_path)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return portrait(tmp_path_factory.mktemp("photo"))


def press(panel, button, name=""):
    panel.name.value = name or panel.name.value
    panel.buttons[button].click()


def test_every_widget_changes_the_picture(panel):
    changes = {
        "seed": 4, "psi": 0.4, "mix": 0.5, "other_seed": 9, "clip_seed": 7, "frame": 2,
        "strength": 1.5, "control jaw": 1.0, "control yaw_deg": 1.0, "component 0": 2.0,
        "layers": (0, 3), "motion": "own",
    }  # fmt: skip
    for name, value in changes.items():
        before = panel.picture.value
        panel.inputs[name].value = value
        assert panel.picture.value != before, name
        assert panel.picture.value[:2] == b"\xff\xd8"
    assert panel.speed.value.endswith(" ms")


def test_widgets_and_state_say_the_same(panel):
    state = State(seed=8, psi=0.5, layers=(1, 4), controls={"jaw": 0.6}, components={1: -1.2})
    panel.state = state
    assert panel.state == state
    panel.state = State()
    assert panel.state == State()


def test_a_photo_is_shown_and_a_picture_drives_it(panel, photo):
    for name, value in {"photo": photo, "file": photo, "motion": "file", "strength": 1.5}.items():
        before = panel.picture.value
        panel.inputs[name].value = value
        assert "alert" not in panel.message.value
        assert (panel.picture.value == before) == (name == "file")  # nobody drives by it yet


def test_a_picture_drives_wherever_the_slider_of_frames_stands(panel, photo):
    panel.state = State(motion="file", file=photo)
    before = panel.picture.value
    panel.inputs["frame"].value = 2
    assert panel.picture.value == before and "alert" not in panel.message.value


def test_the_slider_of_frames_is_as_long_as_the_driver(panel, tmp_path):
    short, long = (
        str(write_video(tmp_path / f"{frames}.mp4", moving_face(frames))) for frames in (2, 6)
    )
    slider = panel.inputs["frame"]
    panel.state = State(motion="file", file=long, frame=3)
    assert (slider.max, slider.value) == (3, 3)
    assert "The first 4 of the video's 6 frames drive." in panel.message.value
    panel.inputs["file"].value = short
    assert (slider.max, slider.value) == (1, 1) and "frames drive" not in panel.message.value
    panel.inputs["motion"].value = "clip"
    assert (slider.max, slider.value) == (2, 1) and "alert" not in panel.message.value


def test_errors_stand_on_the_page_and_the_picture_stays(panel):
    before = panel.picture.value
    panel.inputs["photo"].value = "/nowhere/<b>.jpg"
    assert "alert" in panel.message.value and "&lt;b>" in panel.message.value
    assert panel.picture.value == before
    panel.inputs["photo"].value = ""
    assert "alert" not in panel.message.value


def test_any_other_error_stands_on_the_page_with_its_kind(panel, monkeypatch):
    before = panel.picture.value

    def fails(state):
        raise RuntimeError("no memory left")

    with monkeypatch.context() as broken:
        broken.setattr(panel.explorer, "view", fails)
        panel.inputs["seed"].value = 8
    assert "alert" in panel.message.value and "RuntimeError: no memory left" in panel.message.value
    assert panel.picture.value == before
    panel.refresh()
    assert "alert" not in panel.message.value and panel.picture.value != before


def test_what_was_saved_is_shown_again_after_a_change(panel, tmp_path):
    panel.state = state = State(seed=5, strength=0.5)
    shown = panel.picture.value
    press(panel, "save", "mine")
    assert panel.message.value == "saved mine.png and mine.json"
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["mine.json", "mine.png"]
    press(panel, "reset all")
    assert panel.picture.value != shown
    press(panel, "load")
    assert panel.picture.value == shown and panel.state == state


def test_saving_again_loses_nothing(panel, tmp_path):
    for strength in (0.5, 0.6, 0.7):
        panel.state = State(strength=strength)
        press(panel, "save", "mine")
    assert panel.message.value == "saved mine_3.png and mine_3.json"
    assert set(panel.name.options) == {"mine", "mine_2", "mine_3"}
    assert Panel(panel.explorer, tmp_path).name.options == panel.name.options
    for name, strength in {"mine": 0.5, "mine_2": 0.6, "mine_3": 0.7}.items():
        press(panel, "load", name)
        assert panel.state == State(strength=strength)


@pytest.mark.parametrize("name", ["metrics", "run"])
def test_saving_spares_the_notebooks_records(panel, tmp_path, name):
    record = tmp_path / f"{name}.json"
    record.write_text("{}")
    press(panel, "save", name)
    assert record.read_text() == "{}" and (tmp_path / "saved" / f"{name}.json").exists()


def test_a_name_cannot_leave_the_folder(panel, tmp_path):
    press(panel, "save", "../../elsewhere")
    assert (tmp_path / "saved" / "elsewhere.png").exists()


def test_loading_nothing_is_told(panel):
    press(panel, "load", "never_saved")
    assert "no saved state" in panel.message.value


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"frame": 9}, "frame is between 0 and 2; got 9"),
        ({"seed": 2_000_000}, "seed is between 0 and 1000000; got 2000000"),
        ({"controls": {"jaw": 99.0}}, "control jaw is between -3.0 and 3.0; got 99.0"),
        ({"controls": {"nose": 1.0}}, "there is no control nose (there are: control yaw_deg,"),
        ({"components": {1: -4.0}}, "component 1 is between -3.0 and 3.0; got -4.0"),
        ({"components": {9: 1.0}}, "there is no component 9 (there are: component 0,"),
        ({"layers": (0, 20)}, "layers is between 0 and 7; got (0, 20)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_shown_as_it_was_saved_is_told_and_nothing_moves(panel, change, told):
    panel.state = before = State(seed=3, strength=0.5)
    State(**change).save(panel.saved / "theirs.json")
    press(panel, "load", "theirs")
    assert "cannot be shown here" in panel.message.value and told in panel.message.value
    assert panel.state == before
    with pytest.raises(BadValue, match="cannot be shown here"):
        panel.state = State(**change)


def test_all_that_is_wrong_with_a_saved_state_is_told_at_once(panel):
    State(frame=9, controls={"nose": 1.0}, components={9: 1.0}).save(panel.saved / "theirs.json")
    press(panel, "load", "theirs")
    assert all(part in panel.message.value for part in ("frame", "control nose", "component 9"))


def test_a_saved_state_whose_driver_is_gone_moves_nothing(panel):
    before = panel.state
    with pytest.raises(MissingFile, match="no driver"):
        panel.state = State(motion="file", file="/gone.mp4")
    assert panel.state == before


def test_a_row_is_reset_alone(panel):
    panel.state = State(seed=5, strength=0.5)
    panel._row(["strength"]).children[-1].click()
    assert panel.state == State(seed=5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_people_and_driver_and_set_all_else(panel, photo, name):
    people = State(6, 9, 0.25, 0.5, photo=photo)
    kept = dataclasses.replace(people, motion="file", file=photo, clip_seed=7, frame=2)
    panel.state = dataclasses.replace(
        kept, strength=0.3, controls={"jaw": 0.4}, components={0: 1.0}, layers=(1, 2)
    )
    panel.presets.value = name
    assert panel.state == dataclasses.replace(kept, **PRESETS[name])
    assert "alert" not in panel.message.value


def test_a_preset_can_be_chosen_again(panel):
    for _ in range(2):
        panel.presets.value = "exaggerated"
        assert panel.state.strength == 1.6 and panel.presets.value == NO_PRESET
        press(panel, "reset all")
        assert panel.state == State()


def test_the_person_alone_shows_their_own_motion(panel):
    panel.presets.value = "the person alone"
    alone = panel.explorer.view(panel.state)
    own = panel.explorer.view(State(motion="own"))
    assert (alone - own).abs().max() < 1e-4


def test_random_draws_somebody_else(panel):
    before = panel.picture.value
    press(panel, "random")
    assert panel.picture.value != before and panel.state.motion == "clip"


def test_random_draws_somebody_else_also_after_a_photo_or_the_end_of_a_mix(panel, photo):
    panel.state = before = State(photo=photo, mix=1.0, motion="file", file=photo)
    press(panel, "random")
    assert panel.state.photo == "" and panel.state.seed != before.seed
    assert panel.state.other_seed != before.other_seed


def test_every_change_is_timed_to_its_picture(panel):
    before = panel.picture.value
    times = panel.timed([("seed", 4), ("frame", 2)])
    assert len(times) == 2 and min(times) > 0 and panel.picture.value != before
    with pytest.raises(BadValue, match="frame is 2 already"):
        panel.timed([("frame", 2)])
