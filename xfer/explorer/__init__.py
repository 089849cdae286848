"""Playing with a model by hand: a pure `view(state) -> image`, and widgets around it.

state.py         everything that can be set, as one value that goes to JSON and back
view.py          `Explorer`: from a state to its picture
latents.py       `LatentExplorer`: the same for a generator alone, in W and W+
easel.py         the picture and its widgets, what all panels have in common
panel.py         `Panel`: the ipywidgets of notebook 07
latent_panel.py  `LatentPanel`: those of notebook 02
"""

from xfer.explorer.latents import LatentExplorer
from xfer.explorer.state import LatentState, State
from xfer.explorer.view import Explorer

__all__ = ["Explorer", "LatentExplorer", "LatentState", "State"]
