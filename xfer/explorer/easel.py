"""A picture that widgets move: what the panels of all explorers have in common.

The picture is a JPEG, which refreshes ten times faster than a PNG. An error is a line of text above
the picture, which stays as it was.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import torch.nn.functional as F

from xfer.axes import Image
from xfer.errors import XferError, expect
from xfer.explorer.state import LAYERS, LatentState
from xfer.media.pictures import encode_picture
from xfer.pixels import to_uint8

COMPONENT = "component "
"""Begins the names of widgets of components."""
SHOWN = 384
"""Edge of the picture on the page, pixels."""
WIDE = {"style": {"description_width": "110px"}, "layout": widgets.Layout(width="360px")}


class Easel:
    """A picture and the widgets that move it: one for every part of a state, by its name.

    Components have one each ("component 0").
    """

    kind: type[LatentState] = LatentState

    def __init__(self, inputs: Mapping[str, widgets.ValueWidget]):
        self.picture = widgets.Image(format="jpeg", width=SHOWN, height=SHOWN)
        self.message, self.speed = widgets.HTML(), widgets.Label()
        self.inputs, self._quiet = dict(inputs), False
        for box in self.inputs.values():
            box.observe(self._changed, names="value")

    def view(self) -> Image:
        """The picture of the state: every panel has its own."""
        raise NotImplementedError

    @property
    def note(self) -> str:
        """Stands above the picture while nothing is wrong."""
        return ""

    # State ---------------------------------------------------------------------------------

    @property
    def state(self) -> LatentState:
        """What the widgets say."""
        return self.kind(**self._read())

    @state.setter
    def state(self, state: LatentState) -> None:
        """Show it as it is.

        Raises:
            BadValue: The widgets cannot say some part of it; they stay as they were.
        """
        self._expect_room(state)
        self._put(self._values(state))

    def _read(self) -> dict[str, Any]:
        """Parts of the state."""
        values = {name: box.value for name, box in self.inputs.items()}
        parts = {i: values.pop(name) for i, name in enumerate(self._named(COMPONENT))}
        first, last = values["layers"]
        values["layers"] = (first, LAYERS if last == self.inputs["layers"].max else last)
        return values | {"components": {i: by for i, by in parts.items() if by}}

    def _values(self, state: LatentState) -> dict[str, Any]:
        """Values of the widgets, and under their own names those that no widget shows."""
        found = dataclasses.asdict(state)
        parts, (first, last) = found.pop("components"), state.layers
        found["layers"] = (first, self.inputs["layers"].max if last == LAYERS else last)
        return found | self._each(COMPONENT, parts)

    def _each(self, beginning: str, amounts: Mapping[Any, float]) -> dict[str, float]:
        """Values of all widgets of one kind: those without an amount are at 0."""
        named = {f"{beginning}{key}": by for key, by in amounts.items()}
        return dict.fromkeys(self._named(beginning), 0.0) | named

    def _named(self, beginning: str) -> list[str]:
        return [name for name in self.inputs if name.startswith(beginning)]

    def _limits(self, state: LatentState) -> dict[str, tuple[float, float]]:
        """The ends of every widget that has some, while this state is shown."""
        return {n: (box.min, box.max) for n, box in self.inputs.items() if hasattr(box, "max")}

    def _expect_room(self, state: LatentState) -> None:
        """Widgets would clamp what is beyond their ends, and drop what they do not know."""
        values = self._values(state)
        wrong = [self._unknown(name) for name in values if name not in self.inputs] + [
            f"{name} is between {low} and {high}; got {values[name]}"
            for name, (low, high) in self._limits(state).items()
            if not all(low <= end <= high for end in _ends(values[name]))
        ]
        expect(not wrong, f"this state cannot be shown here: {'; '.join(wrong)}")

    def _unknown(self, name: str) -> str:
        known = ", ".join(self._named(name.split()[0])) or "none"
        return f"there is no {name} (there are: {known})"

    def _put(self, values: Mapping[str, Any]) -> None:
        """Set widgets, then draw once."""
        with self._silence():
            for name, value in values.items():
                self.inputs[name].value = value
        self.refresh()

    @contextlib.contextmanager
    def _silence(self) -> Iterator[None]:
        """Widgets change, and nothing is drawn."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    # Drawing -------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw what the widgets say."""
        self.guarded(self._draw)

    def guarded(self, act: Callable[[], None]) -> None:
        """Do it; what goes wrong is told on the page."""
        try:
            act()
        except XferError as error:
            self._tell(str(error))
        except Exception as error:  # a page must survive whatever happens behind it
            self._tell(f"{type(error).__name__}: {error}")

    def timed(self, changes: Iterable[tuple[str, Any]]) -> list[float]:
        """Set one widget after the other, as a hand does; the milliseconds to each picture."""
        times = []
        for name, value in changes:
            expect(self.inputs[name].value != value, f"{name} is {value} already: nothing is drawn")
            begin = time.perf_counter()
            self.inputs[name].value = value
            times.append(1000 * (time.perf_counter() - begin))
        return times

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self.refresh()

    def _draw(self) -> None:
        begin = time.perf_counter()
        large = F.interpolate(self.view(), (SHOWN, SHOWN))
        self.picture.value = encode_picture(to_uint8(large)[0], ".jpg", quality=90)
        self.speed.value = f"{1000 * (time.perf_counter() - begin):.0f} ms"
        self.message.value = self.note

    def _tell(self, text: str) -> None:
        safe = text.replace("&", "&amp;").replace("<", "&lt;")
        self.message.value = f'<span role="alert" style="color:#c22">{safe}</span>'

    # Page ----------------------------------------------------------------------------------

    def layout(
        self, rows: Mapping[str, Sequence[str]], below: Sequence[widgets.Widget] = ()
    ) -> widgets.Widget:
        """Beside the picture its widgets in rows that open, by title; more widgets below it."""
        filled = {title: names for title, names in rows.items() if names}
        boxes = [self._row(names) for names in filled.values()]
        tabs = widgets.Accordion(boxes, titles=list(filled), selected_index=0)
        return widgets.HBox([widgets.VBox([self.message, self.picture, self.speed, *below]), tabs])

    def _row(self, names: Sequence[str]) -> widgets.Widget:
        reset = widgets.Button(description="reset", tooltip="this row only")
        reset.on_click(lambda _: self._reset(names))
        return widgets.VBox([*(self.inputs[name] for name in names), reset])

    def _reset(self, names: Sequence[str]) -> None:
        usual = self._values(self.kind())
        self._put({name: usual[name] for name in names})


def number(text: str, most: int = 10**6) -> widgets.ValueWidget:
    """A whole number from 0."""
    return widgets.BoundedIntText(0, 0, most, description=text, **WIDE)


def slide(text: str, low: float, high: float) -> widgets.ValueWidget:
    """A number between two ends, at 0 first."""
    step = (high - low) / 100
    return widgets.FloatSlider(0, min=low, max=high, step=step, description=text, **WIDE)


def styles(last: int) -> dict[str, widgets.ValueWidget]:
    """A range of styles, first all of them."""
    range_of = widgets.IntRangeSlider(
        value=(0, last), min=0, max=last, description="layers", **WIDE
    )
    return {"layers": range_of}


def components(labels: Sequence[str]) -> dict[str, widgets.ValueWidget]:
    """A slider a component, three standard deviations either way."""
    return {f"{COMPONENT}{i}": slide(label, -3.0, 3.0) for i, label in enumerate(labels)}


def _ends(value: Any) -> tuple[float, ...]:
    """Both ends of a range; a number is its own end."""
    return value if isinstance(value, tuple) else (value,)
