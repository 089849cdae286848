"""The widgets, driven as a browser would: by setting their values and clicking."""

import pytest
from small_studio import small_studio

from xfer.explorer import Explorer, State
from xfer.explorer.panel import PRESETS, Panel


@pytest.fixture
def panel(tmp_path):
    return Panel(Explorer(small_studio(), frames=3), tmp_path)


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


def test_errors_stand_on_the_page_and_the_picture_stays(panel):
    before = panel.picture.value
    panel.inputs["photo"].value = "/nowhere/<b>.jpg"
    assert "alert" in panel.message.value and "&lt;b>" in panel.message.value
    assert panel.picture.value == before
    panel.inputs["photo"].value = ""
    assert "alert" not in panel.message.value


def test_what_was_saved_is_shown_again_after_a_change(panel, tmp_path):
    panel.state = State(seed=5, strength=0.5)
    shown = panel.picture.value
    panel.name.value = "mine"
    panel.buttons["save"].click()
    assert (tmp_path / "mine.png").exists() and (tmp_path / "mine.json").exists()
    panel.buttons["reset all"].click()
    assert panel.picture.value != shown
    panel.buttons["load"].click()
    assert panel.picture.value == shown


def test_a_name_cannot_leave_the_folder(panel, tmp_path):
    panel.name.value = "../../elsewhere"
    panel.buttons["save"].click()
    assert (tmp_path / "elsewhere.png").exists()


def test_loading_nothing_is_told(panel):
    panel.name.value = "never_saved"
    panel.buttons["load"].click()
    assert "no saved state" in panel.message.value


def test_a_row_is_reset_alone(panel):
    panel.state = State(seed=5, strength=0.5)
    panel._row(["strength"]).children[-1].click()
    assert panel.state == State(seed=5, layers=panel.state.layers)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_the_person_and_draw(panel, name):
    panel.inputs["seed"].value = 6
    panel.presets.value = name
    assert panel.state.seed == 6 and "alert" not in panel.message.value


def test_random_draws_somebody_else(panel):
    before = panel.picture.value
    panel.buttons["random"].click()
    assert panel.picture.value != before and panel.state.motion == "clip"
