"""The explorer of W and W+ as ipywidgets: every part of a `LatentState` has its own control."""

import ipywidgets as widgets

from xfer.axes import Image
from xfer.explorer.easel import COMPONENT, Easel, components, number, slide, styles
from xfer.explorer.latents import LatentExplorer
from xfer.explorer.state import LatentState

COMPONENTS = 8


class LatentPanel(Easel):
    """Widgets around an explorer; show `panel.page` in a notebook."""

    def __init__(self, explorer: LatentExplorer, state: LatentState | None = None):
        self.explorer = explorer
        super().__init__(self._inputs())
        people, parts = ["seed", "other_seed", "mix", "psi"], self._named(COMPONENT)
        self.page = self.layout({"people": people, "styles and directions": ["layers", *parts]})
        self.state = state or LatentState()

    def view(self) -> Image:
        return self.explorer.view(self.state)

    def _inputs(self) -> dict[str, widgets.ValueWidget]:
        people = {
            "seed": number("seed"),
            "other_seed": number("other seed"),
            "mix": slide("mix", 0.0, 1.0),
            "psi": slide("psi", 0.0, 1.0),
        }
        shares = enumerate(self.explorer.shares[:COMPONENTS], 1)
        labels = [f"{rank} ({share:.0%} of W)" for rank, share in shares]
        return people | styles(self.explorer.generator.n_styles - 1) | components(labels)
