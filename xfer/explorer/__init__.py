"""Playing with a model by hand: a pure `view(state) -> image`, and widgets around it.

state.py   everything that can be set, as one value that goes to JSON and back
view.py    `Explorer`: from a state to its picture
panel.py   `Panel`: the ipywidgets of notebook 07
"""

from xfer.explorer.state import State
from xfer.explorer.view import Explorer

__all__ = ["Explorer", "State"]
