"""The explorer as ipywidgets: every part of a `State` has its own control; what is saved is a PNG
and a JSON."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from xfer.axes import Image
from xfer.explorer.easel import COMPONENT, WIDE, Easel, components, number, slide, styles
from xfer.explorer.state import MOTIONS, State
from xfer.explorer.view import Explorer
from xfer.media.pictures import write_picture

COMPONENTS = 6
CONTROL = "control "
"""Begins the names of widgets of controls."""

PRESETS: dict[str, Mapping[str, Any]] = {
    "the motion as it is": {},
    "the person alone": {"strength": 0.0},
    "half the motion": {"strength": 0.5},
    "exaggerated": {"strength": 1.6},
    "the mean face": {"psi": 0.0},
    "halfway to another": {"mix": 0.5},
    "coarse styles only": {"layers": (0, 3)},
}
TREATMENT = ("strength", "layers", "controls", "components")
"""Parts of a state that every preset sets: what is done to the motion."""
NO_PRESET = "choose one"
"""Where the list of presets stands between two choices, so that each can be chosen again."""


def with_preset(state: State, name: str) -> State:
    """The state as a preset treats it: people, driver and frame stay, if it does not name them."""
    usual = {part: getattr(State(), part) for part in TREATMENT}
    return dataclasses.replace(state, **usual | PRESETS[name])


class Panel(Easel):
    """Widgets around an explorer; show `panel.page` in a notebook.

    Args:
        folder: In its folder `saved` go the pictures and states that are saved.
    """

    kind = State

    def __init__(self, explorer: Explorer, folder: str | Path = ".", state: State | None = None):
        self.explorer, self.saved = explorer, Path(folder, "saved")
        super().__init__(self._inputs())
        self.page = self._page()
        self.state = state or State()

    def _read(self) -> dict[str, Any]:
        values = super()._read()
        controls = {n: values.pop(f"{CONTROL}{n}") for n in self.explorer.factors}
        return values | {"controls": {name: by for name, by in controls.items() if by}}

    def _values(self, state: State) -> dict[str, Any]:
        found = super()._values(state)
        controls = found.pop("controls")
        return found | self._each(CONTROL, controls)

    def _limits(self, state: State) -> dict[str, tuple[float, float]]:
        return super()._limits(state) | {"frame": (0, self.explorer.length(state) - 1)}

    def _put(self, values: Mapping[str, Any]) -> None:
        slider = self.inputs["frame"]
        slider.max = max(slider.max, values.get("frame", 0))  # until the driver is known: `view`
        super()._put(values)

    def view(self) -> Image:
        with self._silence():
            self.inputs["frame"].max = self.explorer.length(self.state) - 1
        return self.explorer.view(self.state)

    @property
    def note(self) -> str:
        return f"{self.explorer.studio.note} {self.explorer.remark(self.state)}".strip()

    # Files ---------------------------------------------------------------------------------

    def save(self, name: str) -> None:
        """Write name.png and name.json, with a number if there are such files already."""
        name = self._free(Path(name).name or "explored")
        picture = self.explorer.view(self.state)
        write_picture(self.saved / f"{name}.png", picture, note=self.explorer.studio.note)
        self.state.save(self.saved / f"{name}.json")
        self.name.options = self._saved_names()
        self.message.value = f"saved {name}.png and {name}.json"

    def load(self, name: str) -> None:
        """Show a saved state again."""
        self.state = State.load(self.saved / f"{Path(name).name}.json")

    def _free(self, name: str) -> str:
        """The name, or the first of name_2, name_3 and so on that nothing is saved under."""
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        taken = {path.name for path in self.saved.glob("*")}
        free = lambda one: taken.isdisjoint({f"{one}.png", f"{one}.json"})
        return next(filter(free, itertools.chain([name], numbered)))

    def _saved_names(self) -> list[str]:
        return sorted(path.stem for path in self.saved.glob("*.json"))

    # Widgets -------------------------------------------------------------------------------

    def _inputs(self) -> dict[str, widgets.ValueWidget]:
        model = self.explorer.studio.model
        count = min(COMPONENTS, model.motion_encoder.config.bottleneck)
        text = lambda name: widgets.Text(description=name, continuous_update=False, **WIDE)
        found = {
            "seed": number("seed"),
            "other_seed": number("other seed"),
            "mix": slide("mix", 0.0, 1.0),
            "psi": slide("psi", 0.0, 1.0),
            "photo": text("photo, a path"),
            "motion": widgets.Dropdown(options=MOTIONS, description="motion", **WIDE),
            "clip_seed": number("clip seed"),
            "frame": widgets.IntSlider(0, 0, self.explorer.frames - 1, description="frame", **WIDE),
            "file": text("file, a path"),
            "strength": slide("strength", 0.0, 2.0),
        } | styles(model.generator.n_styles - 1)
        for name in self.explorer.factors:
            reach = self.explorer.reach(name)
            found[f"{CONTROL}{name}"] = slide(name.replace("_", " "), -reach, reach)
        return found | components([f"component {i + 1}" for i in range(count)])

    def _page(self) -> widgets.Widget:
        names = list(self.inputs)
        rows = {
            "identity": names[:5],
            "driver": names[5:9],
            "strength and layers": names[9:11],
            "controls": self._named(CONTROL),
            "components of motion": self._named(COMPONENT),
        }
        return self.layout(rows, self._buttons())

    def _buttons(self) -> list[widgets.Widget]:
        self.presets = widgets.Dropdown(options=[NO_PRESET, *PRESETS], description="preset")
        self.presets.observe(lambda c: self._preset(c["new"]), names="value")
        self.name = widgets.Combobox(
            value="explored",
            options=self._saved_names(),
            description="name",
            continuous_update=False,
        )
        acts = {
            "random": self.randomise,
            "reset all": lambda: setattr(self, "state", State()),
            "save": lambda: self.save(self.name.value),
            "load": lambda: self.load(self.name.value),
        }
        self.buttons = {text: widgets.Button(description=text) for text in acts}
        for text, act in acts.items():
            self.buttons[text].on_click(lambda _, act=act: self.guarded(act))
        return [self.presets, self.name, widgets.HBox(list(self.buttons.values()))]

    def _preset(self, name: str) -> None:
        if name in PRESETS:
            self._put(self._values(with_preset(self.state, name)))
            self.presets.value = NO_PRESET

    def randomise(self) -> None:
        """Other random people, another clip, another frame."""
        rng = np.random.default_rng()
        names = ("seed", "other_seed", "clip_seed")
        seeds = dict(zip(names, rng.integers(0, 10**6, len(names)).tolist(), strict=True))
        frame = int(rng.integers(self.explorer.frames))
        self.state = dataclasses.replace(self.state, photo="", motion="clip", frame=frame, **seeds)
