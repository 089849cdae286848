"""The explorer's controls in JupyterLab: sliders, buttons, the screen and the browser's camera."""

import io
import random
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets
from PIL import Image

from xfer.data.clips import encode
from xfer.errors import XferError
from xfer.explorer import FULL, N_COMPONENTS, PREVIEW, CameraDriver, Explorer, State
from xfer.landmarker import FACTORS
from xfer.media.images import Pixels

jpeg = partial(encode, quality=80)
PAUSE_S = 0.15
"""Without a change, after which the full image follows the preview."""
DRAG_S = 1.5
"""Changes of one control that follow each other as fast are undone together."""


class Screen(anywidget.AnyWidget):
    """An image, what is read in it, the driver's face, and a camera; see explorer.js."""

    _esm = Path(__file__).with_name("explorer.js")
    image = traitlets.Bytes(b"").tag(sync=True)
    unmoved = traitlets.Bytes(b"").tag(sync=True)
    driver = traitlets.Bytes(b"").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)


class Worker:
    """Runs jobs in turn in a thread of its own, and takes the newest state through some steps.

    Steps begin a pause after one another, counted from the change, as long as they return True; a
    newer state begins anew, so that what is overtaken is dropped.
    """

    def __init__(self, *steps: Callable[[State], bool]):
        self._steps, self._pool = steps, ThreadPoolExecutor(1, "explorer")
        self._newest: State | None = None
        self._changed = threading.Event()

    def do(self, job: Callable[[], None]) -> None:
        """Run something when all before it is done."""
        self._pool.submit(job)

    def want(self, state: State) -> None:
        self._newest = state
        self._changed.set()
        self._pool.submit(self._follow, state, time.monotonic())

    def _follow(self, state: State, since_s: float) -> None:
        self._changed.clear()
        for number, step in enumerate(self._steps):
            self._changed.wait(max(0.0, since_s + number * PAUSE_S - time.monotonic()))
            if self._newest is not state or not step(state):
                return


class Panel:
    """All controls around one explorer; `widget` is what a notebook displays.

    Args:
        explorer: What renders; the panel's own thread uses it from now on.
        folder: Where states are saved.
    """

    def __init__(self, explorer: Explorer, state: State, folder: str | Path = "."):
        last = explorer.pipeline.model.generator.n_styles - 1
        self._start = State(state.identity, mix_styles=(0, last))
        self.explorer, self.state, self.folder = explorer, state, Path(folder)
        self._past: deque[State] = deque(maxlen=100)
        self._last_name, self._last_s, self._going = "", 0.0, False
        self._image: Pixels | None = None
        self._unmoved: State | None = None
        self._camera: CameraDriver | None = None
        self.screen, self._controls, self._n_live = Screen(), {}, 0
        self.widget = self._layout(last)
        explorer.progress = self._say
        steps = self._preview, partial(self._display, size=FULL), self._compare
        self.worker = Worker(*(partial(self._reported, step) for step in steps))
        self.screen.on_msg(self._receive)
        self._go(state)

    def set(self, state: State, name: str = "") -> None:
        """Go to a state, controls and all; `name` tells which control is being moved, if one is."""
        if state == self.state:
            return
        now_s = time.monotonic()
        if not name or name != self._last_name or now_s - self._last_s > DRAG_S:
            self._past.append(self.state)
        self._last_name, self._last_s = name, now_s
        self._go(state)

    def undo(self) -> None:
        """Back by one change, or by one drag."""
        if self._past:
            self._last_name = ""
            self._go(self._past.pop())

    def _go(self, state: State) -> None:
        self.state, frame = state, self._controls["frame"]
        frame.max = max(frame.max, state.frame)  # until the video's length is known
        self._going = True
        for name, control in self._controls.items():
            control.value = _value(state, name)
        self._going = False
        if self._camera is None:
            self.worker.want(self.state)

    def _change(self, name: str, value: Any) -> None:
        if value != _value(self.state, name):
            group, _, key = name.partition(".")
            if key:
                moves = getattr(self.state, group) | {_key(group, key): value}
                value = {k: v for k, v in moves.items() if v}
            state = replace(self.state, **{group: value})
            if self._going:  # the control's range ends before the state's value
                self.state = state
            else:
                self.set(state, name)

    # Images ---------------------------------------------------------------------------------

    def _preview(self, state: State) -> None:
        self._display(state, PREVIEW)
        track = self.explorer.track(state.driver) if state.driver else None
        self.screen.driver = jpeg(track.crops[track.row(state.frame)]) if track else b""
        n, slider = len(track.crops) if track else 1, self._controls["frame"]
        slider.disabled, slider.step = n == 1, track.step if track else 1
        slider.max = max(1, (n - 1) * slider.step)

    def _display(self, state: State, size: int) -> None:
        start_s = time.perf_counter()
        self._image = self.explorer.view(state, size)
        self.screen.image = jpeg(self._image)
        ms = 1000 * (time.perf_counter() - start_s)
        self._say(f"{described(self.explorer.read(self._image))}\n{size} px in {ms:.0f} ms")

    def _compare(self, state: State) -> None:
        """What is shown while the image is held, and how far the face has gone from it."""
        if self._unmoved != state.unmoved():
            self._unmoved = state.unmoved()
            self.screen.unmoved = jpeg(self.explorer.view(self._unmoved))
        if (distance := self.explorer.distance(state, self._image)) is not None:
            judged = f"identity distance {distance:.2f} (dlib; below 0.6: the same)"
            self._say(f"{self.screen.text}\n{judged}")

    def _say(self, text: str) -> None:
        self.screen.text = text

    def _reported(self, act: Callable[..., Any], *args: Any) -> bool:
        """Do something, or tell the page what went wrong; the thread goes on."""
        try:
            act(*args)
            return True
        except XferError as error:
            self._say(str(error))
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}")
        return False

    # The camera -----------------------------------------------------------------------------

    def _receive(self, _: Any, message: dict, buffers: list) -> None:
        if message["kind"] == "frame":
            self.worker.do(partial(self._answer, message, bytes(buffers[0])))
        else:
            begins = message["kind"] == "begin"
            self._camera = CameraDriver(self.explorer.pipeline) if begins else None
            self._go(self.state)

    def _answer(self, message: dict, data: bytes) -> None:
        """One frame; it is answered in any case, for the browser waits."""
        answer: list[bytes] = []
        if self._camera is not None:
            self._reported(lambda: answer.append(self._live(message["seconds"], data)))
        self.screen.send({"id": message["id"]}, answer)

    def _live(self, time_s: float, data: bytes) -> bytes:
        frame = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        image = self.explorer.view(self.state, PREVIEW, self._camera.read(frame, time_s))
        self._n_live += 1
        if self._n_live % 10 == 1:
            self._say(described(self.explorer.read(image)))
        return jpeg(image)

    # Controls -------------------------------------------------------------------------------

    def _layout(self, last: int) -> widgets.Widget:
        """A control for every field of the state; those of dictionaries are named `field.key`."""
        wide = widgets.Layout(width="340px")
        slider = lambda text, low, high: widgets.FloatSlider(
            description=text, min=low, max=high, step=0.05, layout=wide
        )
        whole = lambda text, high: widgets.IntSlider(description=text, max=high, layout=wide)
        line = lambda text, hint="random:SEED or a photo's path": widgets.Text(
            description=text, placeholder=hint, continuous_update=False, layout=wide
        )
        limit = self.explorer.pipeline.model.control.config.limit
        tabs = {
            "motion": {f"factors.{name}": slider(name, -limit, limit) for name in FACTORS},
            "driver": {
                "driver": line("driver", "path of a photo or video"),
                "frame": whole("frame", 1),
                "strength": slider("strength", 0, 2),
                "relative": widgets.Checkbox(description="relative pose", layout=wide),
            },
            "identity": {
                "identity": line("identity"),
                "psi": slider("psi", 0, 1),
                "mix": line("mix with"),
                "mix_share": slider("share", 0, 1),
                "mix_styles": widgets.IntRangeSlider(description="styles", max=last, layout=wide),
            },
            "styles": {"style_component": whole("direction", N_COMPONENTS - 1)}
            | {f"styles.{row}": slider(f"style {row}", -3, 3) for row in range(last + 1)},
            "directions": {
                f"components.{i}": slider(f"direction {i}", -3, 3) for i in range(N_COMPONENTS)
            },
        }
        pages = {title: self._tab(title, controls) for title, controls in tabs.items()}
        upload = widgets.FileUpload(description="photo or video as", layout={"width": "auto"})
        into = widgets.ToggleButtons(options=["driver", "identity"])
        upload.observe(lambda _: self._upload(upload, into.value), "value")
        pages["driver"].children += (widgets.HBox([upload, into]),)
        file = widgets.Text(value="explored.png", layout=wide)
        later = lambda act: lambda: self.worker.do(partial(self._reported, act))
        seed = lambda: f"random:{random.randrange(100_000)}"
        buttons = {
            "reset all": lambda: self.set(replace(self._start, identity=self.state.identity)),
            "undo": self.undo,
            "neutralise": later(lambda: self.set(self.explorer.neutralised(self.state))),
            "random": lambda: self.set(replace(self.state, identity=seed())),
        }
        files = {
            "save": later(lambda: self._save(self.folder / file.value)),
            "open": later(lambda: self.set(State.open(self.folder / file.value))),
        }
        rows = [
            widgets.HBox([button(*pair) for pair in buttons.items()]),
            widgets.Tab(list(pages.values()), titles=list(pages)),
            widgets.HBox([file, *(button(*pair) for pair in files.items())]),
        ]
        return widgets.HBox([self.screen, widgets.VBox(rows)])

    def _tab(self, title: str, controls: dict[str, widgets.Widget]) -> widgets.VBox:
        """Controls below each other, each with a button that sets it back."""
        self._controls |= controls
        rows = [button(f"reset {title}", lambda: self._reset(*controls))]
        for name, control in controls.items():
            control.observe(lambda change, name=name: self._change(name, change["new"]), "value")
            back = button("reset", partial(self._reset, name), width="56px")
            rows.append(widgets.HBox([control, back]))
        return widgets.VBox(rows)

    def _reset(self, *names: str) -> None:
        groups = {name.partition(".")[0] for name in names}
        if len(names) > 1:
            self.set(replace(self.state, **{g: getattr(self._start, g) for g in groups}))
        else:
            self._change(names[0], _value(self._start, names[0]))

    def _save(self, path: Path) -> None:
        self._say(f"saved {self.explorer.save(self.state, path)} and its state")

    def _upload(self, upload: widgets.FileUpload, name: str) -> None:
        for file in upload.value:
            path = Path(tempfile.mkdtemp(prefix="xfer-")) / Path(file["name"]).name
            path.write_bytes(file["content"])
            self._controls[name].value = str(path)
        upload.value = ()


def button(text: str, act: Callable[[], None], width: str = "auto") -> widgets.Button:
    made = widgets.Button(description=text, layout=widgets.Layout(width=width))
    made.on_click(lambda _: act())
    return made


def described(read: dict[str, float]) -> str:
    """What is read in an image, in two lines."""
    if not read:
        return "no face is seen in the image"
    others = ", ".join(f"{name} {read[name]:.2f}" for name in FACTORS[2:])
    return f"yaw {read['yaw']:+.0f} deg, pitch {read['pitch']:+.0f} deg\n{others}"


def _key(group: str, key: str) -> str | int:
    return key if group == "factors" else int(key)


def _value(state: State, name: str) -> Any:
    group, _, key = name.partition(".")
    value = getattr(state, group)
    return value.get(_key(group, key), 0.0) if key else value
