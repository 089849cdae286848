"""Explicit pose and expression: factors <-> directions in the motion space h.

switches.py   strength, relative motion, parts of the face: linear operations on h
factors.py    `Controls`: factors read from h and moved in it
learning.py   learning them from unlabelled pictures and any reader of factors
landmarks.py  `LandmarkReader`: factors from 68 aligned landmarks, for drivers of another world
"""

from xfer.controls.factors import Controls, ControlsConfig, named_factors
from xfer.controls.landmarks import LandmarkReader
from xfer.controls.learning import calibrate, learn_controls, measure_response
from xfer.controls.switches import Switches, between

__all__ = [
    "Controls",
    "ControlsConfig",
    "LandmarkReader",
    "Switches",
    "between",
    "calibrate",
    "learn_controls",
    "measure_response",
    "named_factors",
]
