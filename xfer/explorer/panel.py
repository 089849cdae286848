"""The explorer as ipywidgets: every part of a `State` has its own control; what is saved is a PNG
and a JSON."""

import dataclasses
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

PRESETS: dict[str, State] = {
    "start": State(),
    "the person alone": State(motion="own"),
    "half the motion": State(strength=0.5),
    "exaggerated": State(strength=1.6),
    "the mean face": State(psi=0.0),
    "halfway to another": State(mix=0.5),
    "coarse styles only": State(layers=(0, 3)),
}


class Panel(Easel):
    """Widgets around an explorer; show `panel.page` in a notebook.

    Args:
        folder: Where pictures and states are saved.
    """

    kind = State

    def __init__(self, explorer: Explorer, folder: str | Path = ".", state: State | None = None):
        self.explorer, self.folder = explorer, Path(folder)
        super().__init__(self._inputs())
        self.page = self._page()
        self.state = state or State()

    def _read(self) -> dict[str, Any]:
        values = super()._read()
        controls = {n: values.pop(f"control {n}") for n in self.explorer.factors}
        return values | {"controls": {name: by for name, by in controls.items() if by}}

    def _values(self, state: State) -> dict[str, Any]:
        found = super()._values(state)
        controls = found.pop("controls")
        return found | {f"control {n}": controls.get(n, 0.0) for n in self.explorer.factors}

    def view(self) -> Image:
        return self.explorer.view(self.state)

    @property
    def note(self) -> str:
        return self.explorer.studio.note

    # Files ---------------------------------------------------------------------------------

    def save(self, name: str) -> None:
        """Write name.png and name.json."""
        path = self.folder / f"{Path(name).name or 'explored'}.png"
        write_picture(path, self.explorer.view(self.state), note=self.explorer.studio.note)
        self.state.save(path.with_suffix(".json"))
        self.message.value = f"saved {path.name} and {path.stem}.json"

    def load(self, name: str) -> None:
        """Show a saved state again."""
        self.state = State.load(self.folder / f"{Path(name).name}.json")

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
            found[f"control {name}"] = slide(name.replace("_", " "), -reach, reach)
        return found | components([f"component {i + 1}" for i in range(count)])

    def _page(self) -> widgets.Widget:
        names = list(self.inputs)
        rows = {
            "identity": names[:5],
            "driver": names[5:9],
            "strength and layers": names[9:11],
            "controls": self._named("control "),
            "components of motion": self._named(COMPONENT),
        }
        return self.layout(rows, self._buttons())

    def _buttons(self) -> list[widgets.Widget]:
        self.presets = widgets.Dropdown(options=list(PRESETS), description="preset")
        self.presets.observe(lambda c: self._preset(c["new"]), names="value")
        self.name = widgets.Text("explored", description="name", continuous_update=False)
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
        kept = {"seed": self.state.seed, "clip_seed": self.state.clip_seed}
        self.state = dataclasses.replace(PRESETS[name], **kept)

    def randomise(self) -> None:
        """Another person, another clip, another frame."""
        seeds = np.random.default_rng().integers(0, 10**6, 2).tolist()
        frame = int(np.random.default_rng().integers(self.explorer.frames))
        self.state = dataclasses.replace(
            self.state, seed=seeds[0], clip_seed=seeds[1], frame=frame, motion="clip"
        )
