"""The explorer's controls in JupyterLab: sliders, buttons, the screen and the browser's camera."""

import io
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor

from xfer.errors import XferError
from xfer.explorer import COMPONENTS, Explorer, Shown, State
from xfer.landmarker import FACTORS
from xfer.media.images import Pixels

QUALITY = 80
PAUSE_S = 0.25
"""Without a change, after which the full image follows the preview."""
NEUTRAL_S = 3.0
"""Of a camera, whose median is the driver's neutral face."""


class Screen(anywidget.AnyWidget):
    """An image, what is read in it, and a camera; see explorer.js."""

    _esm = Path(__file__).with_name("explorer.js")
    image = traitlets.Bytes(b"").tag(sync=True)
    before = traitlets.Bytes(b"").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)


class Worker(threading.Thread):
    """Renders the newest state and the camera's frames; what is overtaken is dropped.

    Args:
        draw: A state and whether it is a preview, shown by the callee.
        live: A camera's frame by its number.
    """

    def __init__(self, draw: Callable[[State, bool], None], live: Callable[[dict, bytes], None]):
        super().__init__(daemon=True)
        self._draw, self._live = draw, live
        self._changed, self._wanted = threading.Condition(), None
        self._frames: deque[tuple[dict, bytes]] = deque()
        self.start()

    def ask(self, state: State) -> None:
        """Want a state; an earlier one that is not begun is dropped."""
        with self._changed:
            self._wanted = state
            self._changed.notify()

    def push(self, message: dict, data: bytes) -> None:
        """Want a camera's frame."""
        with self._changed:
            self._frames.append((message, data))
            self._changed.notify()

    def run(self) -> None:
        full: State | None = None
        while True:
            with self._changed:
                ready = lambda: self._wanted is not None or self._frames
                self._changed.wait_for(ready, PAUSE_S if full is not None else None)
                frame = self._frames.popleft() if self._frames else None
                state = None if frame else self._wanted
                if state is not None:
                    self._wanted = None
            if frame:
                self._live(*frame)
            elif state is not None:
                self._draw(state, True)
                full = state
            elif full is not None:
                self._draw(full, False)
                full = None


class CameraNeutral:
    """The neutral face of who sits before the camera: the median of the first seconds."""

    def __init__(self):
        self.motions: list[Tensor] = []
        self.began: float | None = None

    def see(self, motion: Tensor, time_s: float) -> Tensor:
        """Add a motion while the first seconds last; returns the neutral so far."""
        self.began = time_s if self.began is None else self.began
        if time_s - self.began < NEUTRAL_S or not self.motions:
            self.motions.append(motion)
        return torch.cat(self.motions).median(0, keepdim=True).values


class Panel:
    """All controls around one explorer. `show()` puts them on the page.

    Args:
        explorer: What renders.
        state: To begin with.
    """

    def __init__(self, explorer: Explorer, state: State | None = None):
        self.explorer, self.state = explorer, state or State()
        self.screen, self._past, self._setting = Screen(), deque(maxlen=100), False
        self._compared: tuple = ()
        self._controls = self._build()
        self.worker = Worker(self._draw, self._live)
        self._camera = CameraNeutral()
        self.screen.on_msg(self._message)
        self.box = self._layout()
        self.set(self.state, remember=False)

    def show(self) -> widgets.Widget:
        """The widget to display."""
        return self.box

    def set(self, state: State, remember: bool = True) -> None:
        """Go to a state, controls and all."""
        if remember and state != self.state:
            self._past.append(self.state)
        self.state, self._setting = state, True
        for name, control in self._controls.items():
            control.value = self._value(name)
        self._setting = False
        self.worker.ask(state)

    def undo(self) -> None:
        """Back by one change."""
        if self._past:
            self.set(self._past.pop(), remember=False)

    # Rendering ------------------------------------------------------------------------------

    def _draw(self, state: State, preview: bool) -> None:
        try:
            start, size = time.perf_counter(), 256 if preview else 1024
            shown = self.explorer.view(state, size)
            self.screen.image = jpeg(shown.image)
            milliseconds = 1000 * (time.perf_counter() - start)
            self.screen.text = described(shown) + f"\n{size} px in {milliseconds:.0f} ms"
            if not preview and self._compared != (state.identity, state.psi):
                own = replace(State(), identity=state.identity, psi=state.psi)
                self.screen.before = jpeg(self.explorer.view(own, 1024, read=False).image)
                self._compared = (state.identity, state.psi)
        except XferError as error:
            self.screen.text = str(error)
        except Exception as error:  # the page shows it; the thread goes on
            self.screen.text = f"{type(error).__name__}: {error}"

    def _message(self, _: Any, message: dict, buffers: list) -> None:
        if message.get("kind") == "begin":
            self._camera = CameraNeutral()
        elif message.get("kind") == "frame":
            self.worker.push(message, bytes(buffers[0]))

    def _live(self, message: dict, data: bytes) -> None:
        """One frame of the camera; an answer is sent in any case, or the browser would wait."""
        answer = []
        try:
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            face = self.explorer.pipeline.reader.main(pixels)
            motion = self.explorer.pipeline.motion(pixels, face)
            neutral = self._camera.see(motion, message["seconds"])
            image = self.explorer.live(motion, neutral, self.state)
            answer = [jpeg(image)]
        except XferError as error:
            self.screen.text = str(error)
        except Exception as error:
            self.screen.text = f"{type(error).__name__}: {error}"
        self.screen.send({"kind": "shown", "id": message.get("id")}, answer)

    # Controls -------------------------------------------------------------------------------

    def _build(self) -> dict[str, widgets.Widget]:
        """A control for every field of the state; those of dictionaries are named `field.key`."""
        slider = lambda text, low, high, step=0.05: widgets.FloatSlider(
            description=text, min=low, max=high, step=step, readout_format=".2f", layout=WIDE
        )
        whole = lambda text, high: widgets.IntSlider(description=text, min=0, max=high, layout=WIDE)
        line = lambda text, hint: widgets.Text(
            description=text, placeholder=hint, continuous_update=False, layout=WIDE
        )
        last = self.explorer.pipeline.model.generator.n_styles - 1
        controls = {
            "identity": line("identity", "random:SEED or a photo's path"),
            "psi": slider("psi", 0, 1),
            "mix": line("mix with", "random:SEED or a photo's path"),
            "mix_share": slider("share", 0, 1),
            "mix_from": whole("from style", last),
            "mix_to": whole("to style", last),
            "driver": line("driver", "path of a photo or video"),
            "frame": whole("frame", 0),
            "strength": slider("strength", 0, 2),
            "relative": widgets.Checkbox(description="pose relative to the driver's neutral"),
            "style_component": whole("component", COMPONENTS - 1),
        }
        controls |= {f"factors.{name}": slider(name, -3, 3) for name in FACTORS}
        controls |= {f"styles.{row}": slider(f"style {row}", -3, 3) for row in range(last + 1)}
        controls |= {f"components.{i}": slider(f"component {i}", -3, 3) for i in range(COMPONENTS)}
        for name, control in controls.items():
            control.observe(lambda change, name=name: self._change(name, change["new"]), "value")
        return controls

    def _value(self, name: str) -> Any:
        group, _, key = name.partition(".")
        if not key:
            return getattr(self.state, group)
        return getattr(self.state, group).get(key if group == "factors" else int(key), 0.0)

    def _change(self, name: str, value: Any) -> None:
        if self._setting:
            return
        group, _, key = name.partition(".")
        if key:
            key = key if group == "factors" else int(key)
            value = {**getattr(self.state, group), key: value}
        self._past.append(self.state)
        self.state = replace(self.state, **{group: value})
        if name == "driver":
            self._fit_frames()
        self.worker.ask(self.state)

    def _fit_frames(self) -> None:
        try:
            frames = len(self.explorer.track(self.state.driver)[0]) if self.state.driver else 1
            self._controls["frame"].max = frames - 1
        except XferError as error:
            self.screen.text = str(error)

    def _layout(self) -> widgets.Widget:
        def reset(prefix: str) -> None:
            group = prefix.partition(".")[0]
            empty = getattr(State(), group)
            self.set(replace(self.state, **{group: empty}))

        def rows(prefix: str, *first: str) -> widgets.Widget:
            names = [name for name in self._controls if name.startswith(prefix)]
            lines = [self._row(name) for name in (*first, *names)]
            return widgets.VBox([button(f"reset {prefix[:-1]}", lambda: reset(prefix)), *lines])

        plain = lambda *names: widgets.VBox([self._row(name) for name in names])
        upload = widgets.FileUpload(description="photo or video", multiple=False)
        upload.observe(lambda change: self._upload(change["new"]), "value")
        into = self._into = widgets.ToggleButtons(options=["driver", "identity"])
        tabs = widgets.Tab(
            [
                rows("factors."),
                widgets.VBox([plain("driver", "frame", "strength", "relative"), into, upload]),
                plain("identity", "psi", "mix", "mix_share", "mix_from", "mix_to"),
                rows("styles.", "style_component"),
                rows("components."),
            ],
            titles=("motion", "driver", "identity", "styles", "directions"),
        )
        self._path = widgets.Text(value="explorer_state.png", layout=WIDE)
        dice = np.random.default_rng()
        random = lambda: replace(self.state, identity=f"random:{dice.integers(100_000)}")
        buttons = widgets.HBox(
            [
                button("reset all", lambda: self.set(State(identity=self.state.identity))),
                button("undo", self.undo),
                button("neutralise", lambda: self.set(self.explorer.neutralised(self.state))),
                button("random", lambda: self.set(random())),
            ]
        )
        files = widgets.HBox(
            [self._path, button("save", self._save), button("open", self._open_state)]
        )
        return widgets.HBox([self.screen, widgets.VBox([buttons, tabs, files])])

    def _row(self, name: str) -> widgets.Widget:
        """A control and a button that sets it back."""
        group, _, key = name.partition(".")
        start = 0.0 if key else getattr(State(), group)

        def back() -> None:
            self._controls[name].value = start

        return widgets.HBox([self._controls[name], button("reset", back, width="56px")])

    def _upload(self, files: tuple) -> None:
        for file in files:
            folder = Path(tempfile.mkdtemp(prefix="xfer-"))
            path = folder / Path(file["name"]).name
            path.write_bytes(bytes(file["content"]))
            self._controls[self._into.value].value = str(path)

    def _save(self) -> None:
        self._reported(lambda: f"saved {self.explorer.save(self.state, self._path.value)}")

    def _open_state(self) -> None:
        def opened() -> str:
            self.set(State.open(Path(self._path.value).with_suffix(".json")))
            return "opened"

        self._reported(opened)

    def _reported(self, act: Callable[[], str]) -> None:
        try:
            self.screen.text = act()
        except (XferError, OSError) as error:
            self.screen.text = str(error)


WIDE = widgets.Layout(width="340px")


def button(text: str, act: Callable[[], None], width: str = "auto") -> widgets.Button:
    """A button that does something."""
    made = widgets.Button(description=text, layout=widgets.Layout(width=width))
    made.on_click(lambda _: act())
    return made


def jpeg(image: Pixels) -> bytes:
    """An image as the bytes of a JPEG file."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=QUALITY)
    return data.getvalue()


def described(shown: Shown) -> str:
    """What is read in an image, in two lines."""
    read = shown.readings
    if not read:
        return "no face is found in the image"
    first = f"yaw {read['yaw']:+.0f} deg, pitch {read['pitch']:+.0f} deg"
    if "identity_distance" in read:
        first += f", identity distance {read['identity_distance']:.2f} (dlib; below 0.6: the same)"
    others = [f"{name} {read[name]:.2f}" for name in FACTORS[2:]]
    return first + "\n" + ", ".join(others)
