"""What the tables say, in sentences: who wins on pose, expression, identity, nearness to the truth.

Only methods that move a person are ranked. Copies win what they copy, and show what a number must
beat: whoever is no nearer to the driver's pose than a still photo follows no pose.
"""

from typing import NamedTuple

import pandas as pd

from xfer.baselines import CEILING, TRUTH
from xfer.evaluate.summary import more_is_better
from xfer.evaluate.trials import Mode
from xfer.tables import interval_cells

CHANCE = 0.05
"""The p value below which a difference is called significant."""
COPY, STILL, OTHER = "copy ", "copy identity", "copy driver"
"""How names of copies begin; the right person, who does not move; the right motion of another."""
FLOORS = {STILL: "which does not move", OTHER: "which shows somebody else"}


class Question(NamedTuple):
    """What is asked of methods, and by what it is answered."""

    name: str
    metrics: tuple[str, ...]
    """The first that is known answers it."""
    unit: str
    floor: str
    """The copy that does nothing of what is asked."""
    does: str
    """What a model does that is better than the floor."""
    is_read: bool = True
    """Whether a judge reads it in pictures, and so may err about the truth, too."""


QUESTIONS = (
    Question("Pose, yaw", ("yaw_deg_error",), "error in degrees", STILL, "follows the yaw"),
    Question("Pose, pitch", ("pitch_deg_error",), "error in degrees", STILL, "follows the pitch"),
    Question(
        "Expression", ("expression_error",), "mean error of its factors", STILL,
        "follows the expression",
    ),
    Question(
        "Identity", ("cosine_photo",), "cosine with the photo's code", OTHER, "keeps the person"
    ),
    Question(
        "Distance to the truth, in the judge's eyes", ("perceptual_face", "perceptual"),
        "perceptual distance", STILL, "comes nearer to the truth than the photo", is_read=False,
    ),
    Question(
        "Distance to the truth, in pixels", ("psnr_face", "psnr"), "PSNR in dB", STILL,
        "comes nearer to the truth than the photo", is_read=False,
    ),
)  # fmt: skip
HOW = (
    "In brackets are 95% bootstrap intervals over people. Differences are paired, trial by trial, "
    f"and called significant where p is below {CHANCE:g}; p is not corrected for the number of "
    "comparisons. Only methods that move a person are ranked: no copies, and no references that "
    "look at the truth."
)


def verdict(summary: pd.DataFrame, comparisons: pd.DataFrame, mode: Mode) -> str:
    """A paragraph of Markdown for every question, of means with intervals and paired tests.

    Args:
        summary: As of `summarise`; its first method is the model that `comparisons` is about.
        comparisons: As of `compare`.
    """
    known, told = set(summary["metric"]), []
    for question in QUESTIONS:
        metric = next((name for name in question.metrics if name in known), None)
        answer = "not measured; the judge does not read it, or the truth is not known."
        if metric is not None:
            answer = _Answer(summary, comparisons, metric).told(question, mode)
        told.append(f"**{question.name}**: {answer}")
    return "\n\n".join([*told, HOW]) + "\n"


class _Answer:
    """One metric of all methods."""

    def __init__(self, summary: pd.DataFrame, comparisons: pd.DataFrame, metric: str):
        self.first, self.more = summary["method"].iloc[0], more_is_better(metric)
        found = summary[summary["metric"] == metric]
        self.values = found.set_index("method")["value"]
        self.cells = interval_cells(found)[metric]
        gaps = comparisons[comparisons["metric"] == metric]
        self.gaps = gaps.set_index("other")

    def told(self, question: Question, mode: Mode) -> str:
        """Who is best, how the first model stands to the others, and whether it does it at all."""
        if self.first not in self.values.index:
            return f"the judge can read nothing in the pictures of `{self.first}`."
        movers = [name for name in self.values.index if _moves_a_person(name)]
        best, *rest = self.values[movers].sort_values(ascending=not self.more, kind="stable").index
        told = [
            f"of {len(movers)} methods `{best}` is best, with {self.cells[best]} "
            f"({question.unit}; {'more' if self.more else 'less'} is better)."
        ]
        others = [self._against(name) for name in (best, *rest) if name in self.gaps.index]
        if others:
            own = "" if best == self.first else f", with {self.cells[self.first]},"
            told.append(f"`{self.first}`{own} is {'; '.join(others)}.")
        # In self mode the driver is the person asked for, too.
        if question.floor in self.gaps.index and (mode == "cross" or question.floor != OTHER):
            told.append(self._above(question.floor, question.does))
        if question.is_read and TRUTH in self.values.index:
            told.append(f"The truth itself has {self.cells[TRUTH]}.")
        return " ".join(told)

    def _above(self, floor: str, does: str) -> str:
        shows = self._is_better(floor) and self.gaps["p"][floor] < CHANCE
        so = f"it {does}" if shows else f"nothing here shows that it {does}"
        return f"It is {self._against(floor)}, {FLOORS[floor]} and has {self.cells[floor]}: {so}."

    def _against(self, other: str) -> str:
        value, low, high, p = self.gaps.loc[other, ["value", "low", "high", "p"]]
        if value == 0:
            return f"as good as `{other}`"
        if value < 0:
            value, low, high = -value, -high, -low
        size = f"{value:.3g} [{low:.3g}, {high:.3g}]"
        chance = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
        sure = "significant" if p < CHANCE else "not significant"
        way = "better" if self._is_better(other) else "worse"
        return f"{size} {way} than `{other}` ({sure}, {chance})"

    def _is_better(self, other: str) -> bool:
        """Whether the first method is."""
        return bool(self.gaps["value"][other] > 0) == self.more


def _moves_a_person(method: str) -> bool:
    return not method.startswith(COPY) and method not in (CEILING, TRUTH)
