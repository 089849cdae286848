"""Methods compared on people never seen in training, in the eyes of judges only.

trials.py   what is asked: pairs from the face world with the exact truth, or prepared clips
sequences.py  short clips, and how steady methods are on them
judges.py   who judges: the judging copy of the instruments, and dlib
sets.py     all of a method's pictures against all that they should be like
speed.py    frames a second on this machine
table.py    `evaluate`: one number for each method, trial and metric
summary.py  `summarise` and `compare`: means with intervals, and paired tests
failures.py  where methods fail: by pose, by hair, best and worst cases
verdict.py  what the numbers say, in sentences
notes.py    what must stand beside the numbers
sheets.py   pictures of some trials, and of the best and worst
command.py  what the command line calls
"""

from xfer.evaluate.judges import DlibJudge, Judge, open_judge
from xfer.evaluate.summary import compare, summarise
from xfer.evaluate.table import evaluate
from xfer.evaluate.trials import Trials, clip_trials, world_trials

__all__ = [
    "DlibJudge", "Judge", "Trials", "clip_trials", "compare", "evaluate", "open_judge",
    "summarise", "world_trials",
]  # fmt: skip
