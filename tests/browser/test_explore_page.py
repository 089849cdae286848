"""Notebook 07 in JupyterLab, driven by hand: every kind of control moves the picture."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

from tests.browser.jupyter_page import CHROMIUM, SECONDS, browser_page, jupyter, with_preset
from xfer.explorer.panel import NO_PRESET

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path"),
]
BYTES = """async (image) => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    const hash = await crypto.subtle.digest('SHA-1', bytes);
    return [...new Uint8Array(hash)].join();
}"""


class Hands:
    """What a person does with the panel; `done` counts it."""

    def __init__(self, page):
        self.page, self.done = page, []
        self.picture = page.locator("img.widget-image").first

    def shown(self):
        return self.picture.evaluate(BYTES)

    def settled(self):
        """What is shown once a slow machine has drawn all that was asked for."""
        self.ready(0.6)
        return self.shown()

    def run_all(self):
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()

    def ready(self, seconds=2.0):
        """Nothing is being computed any more, and has not been for so long."""
        self.picture.wait_for()
        idle = 0
        for _ in range(1200):
            idle = idle + 1 if self.page.get_by_text("(ipykernel) | Idle").count() else 0
            if idle >= 5 * seconds:
                return
            self.page.wait_for_timeout(200)
        raise AssertionError("the kernel never came to rest")

    def changes(self, what, act):
        """Do it, and see another picture."""
        before = self.settled()
        act()
        for _ in range(200):
            self.page.wait_for_timeout(100)
            if self.shown() != before:
                self.done.append(what)
                return
        raise AssertionError(f"{what}: the picture stayed as it was")

    def keeps(self, what, act, says=""):
        """Do it, and see the same picture when the page has said so."""
        before = self.settled()
        act()
        for _ in range(200):
            self.page.wait_for_timeout(100)
            if says in self.message():
                break
        assert says in self.message(), f"{what}: {self.message()!r}"
        assert self.shown() == before, what
        self.done.append(what)

    def open(self, title):
        header = self.page.locator(".jupyter-widget-Collapse-header", has_text=title).first
        header.scroll_into_view_if_needed()
        header.click()
        self.page.wait_for_timeout(300)

    def row(self, label):
        """The widget with this description.

        JupyterLab takes cells out of the page that are not in view, and a new output moves the
        view: so look again for a while, with the picture in view, before giving up.
        """
        there = self.page.locator(".widget-label")
        for _ in range(60):
            found = [text.strip() for text in there.all_inner_texts()]
            if label in found:
                return there.nth(found.index(label)).locator("xpath=..")
            self.picture.scroll_into_view_if_needed()
            self.page.wait_for_timeout(500)
        raise AssertionError(f"there is no widget {label!r} among {found}")

    def number(self, label, value):
        box = self.row(label).locator("input")
        box.fill(str(value))
        box.press("Enter")

    def text(self, label, value):
        self.number(label, value)

    def choose(self, label, value):
        self.row(label).locator("select").select_option(label=value)

    def chosen(self, label):
        self.settled()
        text = self.row(label).locator("select option:checked").text_content()
        return text.replace("\N{NO-BREAK SPACE}", " ")  # as ipywidgets writes its spaces

    def keys(self, label, key, times=3, handle=0):
        knob = self.row(label).locator(".noUi-handle").nth(handle)
        knob.focus()
        for _ in range(times):
            knob.press(key)

    def drag(self, label, pixels, handle=0):
        box = self.row(label).locator(".noUi-handle").nth(handle).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, 6):
            self.page.mouse.move(x + pixels * step / 5, y)
        self.page.mouse.up()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()

    def took(self):
        """How long the last picture took, as the page says."""
        self.settled()
        labels = self.page.locator(".widget-label", has_text=re.compile(r"\d ms"))
        return labels.first.text_content().strip()  # a text also where nobody looks just now

    def message(self):
        return self.page.locator(".widget-html").first.inner_text()


@pytest.fixture
def folder(tmp_path):
    with_preset(ROOT / "notebooks" / "07_explore.ipynb", tmp_path / "notebooks", "small")
    Image.fromarray(astronaut()).save(tmp_path / "astronaut.png")
    return tmp_path


def test_a_person_explores_by_hand(folder):
    with (
        jupyter(folder) as address,
        browser_page(f"{address}/lab/tree/notebooks/07_explore.ipynb") as (page, errors),
    ):
        hands = Hands(page)
        page.locator(".jp-Notebook").wait_for()
        page.wait_for_timeout(3000)
        hands.run_all()
        hands.picture.wait_for(timeout=240 * SECONDS)
        hands.ready()
        hands.picture.scroll_into_view_if_needed()
        try:
            explore(hands, folder)
        finally:
            page.screenshot(path=str(folder / "explored.png"))
        restart(hands)
        page.screenshot(path=str(folder / "restarted.png"))
    kept = ROOT / "results" / "browser"
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("explored.png", "restarted.png"):
        shutil.copy(folder / name, kept / name)
    assert len(hands.done) >= 20, hands.done
    assert not [text for text in errors if "favicon" not in text], errors


def explore(hands, folder):
    """Every kind of control, files, saving, loading, and mistakes."""
    portrait = str(folder / "astronaut.png")
    assert re.fullmatch(r"\d+ ms", hands.took()), hands.took()
    hands.changes("another seed", lambda: hands.number("seed", 5))
    hands.changes("truncation by keys", lambda: hands.keys("psi", "ArrowRight", 20))
    hands.changes("mix by dragging", lambda: hands.drag("mix", 80))
    hands.changes("another person to mix with", lambda: hands.number("other seed", 9))
    hands.changes("reset of the row", lambda: hands.press("reset"))
    missing = lambda: hands.text("photo, a path", "nowhere.png")
    hands.keeps("a photo that is not there", missing, says="nowhere.png")
    hands.text("photo, a path", "")
    hands.changes("a seed after the mistake", lambda: hands.number("seed", 6))
    assert "nowhere" not in hands.message()
    hands.changes("a photo", lambda: hands.text("photo, a path", portrait))
    hands.changes("no photo", lambda: hands.text("photo, a path", ""))

    hands.open("driver")
    hands.changes("another frame", lambda: hands.keys("frame", "ArrowRight", 8))
    hands.changes("another clip", lambda: hands.number("clip seed", 3))
    hands.changes("no driver", lambda: hands.choose("motion", "own"))
    hands.changes("the clip again", lambda: hands.choose("motion", "clip"))
    hands.keeps(
        "a file without a name", lambda: hands.choose("motion", "file"), says="none is named"
    )
    hands.changes("a picture drives", lambda: hands.text("file, a path", portrait))
    hands.choose("motion", "clip")

    hands.open("strength and layers")
    hands.changes("strength by dragging", lambda: hands.drag("strength", -60))
    hands.changes("fewer layers", lambda: hands.keys("layers", "ArrowLeft", 4, handle=1))

    hands.open("controls")
    hands.changes("yaw by keys", lambda: hands.keys("yaw deg", "ArrowRight", 10))
    hands.changes("jaw by dragging", lambda: hands.drag("jaw", 50))
    hands.changes("no control", lambda: hands.press("reset"))

    hands.open("components of motion")
    hands.changes("the first component", lambda: hands.keys("component 1", "ArrowRight", 12))

    name = hands.row("name").locator("input")
    name.fill("mine")
    name.press("Enter")
    saved = hands.settled()
    hands.keeps("save", lambda: hands.press("save"), says="saved mine.png")
    kept = folder / "results" / "07_explore" / "saved"
    state = json.loads((kept / "mine.json").read_text())
    assert state["seed"] == 6 and state["components"] and (kept / "mine.png").exists()
    hands.keeps("save again", lambda: hands.press("save"), says="saved mine_2.png")
    hands.changes("random", lambda: hands.press("random"))
    hands.changes("load", lambda: hands.press("load"))
    assert hands.settled() == saved
    hands.changes("a preset", lambda: hands.choose("preset", "exaggerated"))
    assert hands.chosen("preset") == NO_PRESET
    hands.changes("reset all", lambda: hands.press("reset all"))
    hands.changes("the preset again", lambda: hands.choose("preset", "exaggerated"))
    name.fill("never saved")
    name.press("Enter")
    hands.keeps("loading what is not there", lambda: hands.press("load"), says="never saved")


def restart(hands):
    """A new kernel, and everything works again."""
    page = hands.page
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu-item", has_text="Restart Kernel and Run All Cells").first.click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_timeout(5000)
    hands.picture.wait_for(timeout=240 * SECONDS)
    hands.ready()
    hands.picture.scroll_into_view_if_needed()
    hands.changes("a seed after the restart", lambda: hands.number("seed", 11))
