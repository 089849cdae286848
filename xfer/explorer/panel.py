"""The explorer as ipywidgets: every part of a `State` has its own control.

The picture is a JPEG, which refreshes ten times faster than a PNG; what is saved is a PNG. An
error is a line of text above the picture, which stays as it was.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch.nn.functional as F

from xfer.errors import XferError
from xfer.explorer.state import MOTIONS, State
from xfer.explorer.view import Explorer
from xfer.media.pictures import encode_picture, write_picture
from xfer.pixels import to_uint8

COMPONENTS = 6
SHOWN = 384
"""Edge of the picture on the page, pixels."""
WIDE = {"style": {"description_width": "110px"}, "layout": widgets.Layout(width="360px")}

PRESETS: dict[str, State] = {
    "start": State(),
    "the person alone": State(motion="own"),
    "half the motion": State(strength=0.5),
    "exaggerated": State(strength=1.6),
    "the mean face": State(psi=0.0),
    "halfway to another": State(mix=0.5),
    "coarse styles only": State(layers=(0, 3)),
}


class Panel:
    """Widgets around an explorer; show `panel.page` in a notebook.

    Args:
        folder: Where pictures and states are saved.
    """

    def __init__(self, explorer: Explorer, folder: str | Path = ".", state: State | None = None):
        self.explorer, self.folder = explorer, Path(folder)
        self.picture = widgets.Image(format="jpeg", width=SHOWN, height=SHOWN)
        self.message, self.speed = widgets.HTML(), widgets.Label()
        self._quiet = False
        self.inputs = self._inputs()
        for box in self.inputs.values():
            box.observe(self._changed, names="value")
        self.page = self._page()
        self.state = state or State()

    # State ---------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the widgets say."""
        values = {name: box.value for name, box in self.inputs.items()}
        controls = {n: values.pop(f"control {n}") for n in self.explorer.factors}
        parts = {i: values.pop(f"component {i}") for i in range(self._components)}
        return State(
            **values,
            controls={name: by for name, by in controls.items() if by},
            components={number: by for number, by in parts.items() if by},
        )

    @state.setter
    def state(self, state: State) -> None:
        self._quiet = True
        try:
            for name, value in self._values(state).items():
                _widened(self.inputs[name], value).value = value
        finally:
            self._quiet = False
        self.refresh()

    def _values(self, state: State) -> dict[str, Any]:
        found = dataclasses.asdict(state)
        controls, parts = found.pop("controls"), found.pop("components")
        last = self.inputs["layers"].max
        found["layers"] = tuple(min(end, last) for end in state.layers)
        found |= {f"control {n}": controls.get(n, 0.0) for n in self.explorer.factors}
        return found | {f"component {i}": parts.get(i, 0.0) for i in range(self._components)}

    # Drawing -------------------------------------------------------------------------------

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self.refresh()

    def refresh(self) -> None:
        """Draw what the widgets say."""
        self._guarded(self._draw)

    def _draw(self) -> None:
        begin = time.perf_counter()
        image = self.explorer.view(self.state)
        large = F.interpolate(image, (SHOWN, SHOWN))
        self.picture.value = encode_picture(to_uint8(large)[0], ".jpg", quality=90)
        self.speed.value = f"{1000 * (time.perf_counter() - begin):.0f} ms"
        self.message.value = self.explorer.studio.note

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do it; what goes wrong is told on the page."""
        try:
            act()
        except XferError as error:
            self._tell(str(error))
        except Exception as error:  # a page must survive whatever happens behind it
            self._tell(f"{type(error).__name__}: {error}")

    def _tell(self, text: str) -> None:
        safe = text.replace("&", "&amp;").replace("<", "&lt;")
        self.message.value = f'<span role="alert" style="color:#c22">{safe}</span>'

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

    @property
    def _components(self) -> int:
        return min(COMPONENTS, self.explorer.studio.model.motion_encoder.config.bottleneck)

    def _inputs(self) -> dict[str, widgets.ValueWidget]:
        layers = self.explorer.studio.model.generator.n_styles - 1
        number = lambda text, most=10**6: widgets.BoundedIntText(
            0, 0, most, description=text, **WIDE
        )
        slide = lambda text, low, high: widgets.FloatSlider(
            0, min=low, max=high, step=(high - low) / 100, description=text, **WIDE
        )
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
            "layers": widgets.IntRangeSlider(
                value=(0, layers), min=0, max=layers, description="layers", **WIDE
            ),
        }
        for name in self.explorer.factors:
            reach = self.explorer.reach(name)
            found[f"control {name}"] = slide(name.replace("_", " "), -reach, reach)
        for i in range(self._components):
            found[f"component {i}"] = slide(f"component {i + 1}", -3.0, 3.0)
        return found

    def _page(self) -> widgets.Widget:
        names = list(self.inputs)
        rows = {
            "identity": names[:5],
            "driver": names[5:9],
            "strength and layers": names[9:11],
            "controls": [n for n in names if n.startswith("control ")],
            "components of motion": [n for n in names if n.startswith("component ")],
        }
        boxes = [self._row(names) for names in rows.values() if names]
        tabs = widgets.Accordion(boxes, titles=[title for title, names in rows.items() if names])
        tabs.selected_index = 0
        shown = widgets.VBox([self.message, self.picture, self.speed, *self._buttons()])
        return widgets.HBox([shown, tabs])

    def _row(self, names: list[str]) -> widgets.Widget:
        reset = widgets.Button(description="reset", tooltip="this row only")
        reset.on_click(lambda _: self._reset(names))
        return widgets.VBox([*(self.inputs[name] for name in names), reset])

    def _reset(self, names: list[str]) -> None:
        usual = self._values(State())
        self._quiet = True
        try:
            for name in names:
                self.inputs[name].value = usual[name]
        finally:
            self._quiet = False
        self.refresh()

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
            self.buttons[text].on_click(lambda _, act=act: self._guarded(act))
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


def _widened(box: widgets.ValueWidget, value: Any) -> widgets.ValueWidget:
    """The slider with its ends moved apart as far as a loaded value needs."""
    if isinstance(box, widgets.FloatSlider):
        box.min, box.max = min(box.min, value), max(box.max, value)
    return box
