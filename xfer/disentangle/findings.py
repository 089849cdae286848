"""What the tables say, in words: numbers with their 95% intervals, beside what chance gives.

One thing is more than another here where their intervals do not meet.
"""

from typing import Any

import pandas as pd

from xfer.disentangle.factors import KINDS
from xfer.disentangle.probes import beyond_chance

Row = Any
"""A row of a table as a named tuple with value, low and high."""
MOTIONS = ("bottleneck h", "motion code")
"""Codes that should know nobody."""


def findings(
    known: pd.DataFrame,
    layers: pd.DataFrame,
    swapped: pd.DataFrame,
    scored: pd.DataFrame,
    edited: pd.DataFrame,
    who: pd.DataFrame,
    pose: pd.DataFrame,
    angles: pd.DataFrame,
) -> pd.DataFrame:
    """All findings: question, answer; several answers to a question follow each other.

    Args:
        known, layers, scored: As of `probes`.
        swapped: As of `swap_table`.
        edited: As of `edit_table`, with a column `factor`.
        who, pose: As of `leakage`.
        angles: As of `angle_table`.
    """
    answers = {
        "Where do pose, expression and identity live?": where_it_lives(known),
        "Which layers know it?": layers_that_know(layers),
        "Which layers show it?": layers_that_show(swapped),
        "Do single axes mean something?": merits_of_axes(scored),
        "Does who it is leak into motion?": people_in_motion(who),
        "Does the identity's own motion leak into results?": motion_of_identity(known, pose),
        "Are motion and identity held apart?": spaces_apart(angles),
        "Does an edit leave the rest alone?": prices_of_edits(edited),
    }
    rows = [(question, answer) for question, found in answers.items() for answer in found]
    return pd.DataFrame(rows, columns=["question", "answer"])


def as_prose(found: pd.DataFrame) -> str:
    """Findings as Markdown: under each question its answers."""
    parts = [
        "\n".join([f"**{question}**", "", *(f"- {answer}" for answer in part["answer"])])
        for question, part in found.groupby("question", sort=False)
    ]
    return "\n\n".join(parts)


def as_table(found: pd.DataFrame) -> pd.DataFrame:
    """Findings for `tables.to_markdown`: every question stands once."""
    once = found["question"].mask(found["question"].duplicated(), "")
    return found.assign(question=once).set_index("question")


def where_it_lives(known: pd.DataFrame) -> list[str]:
    """For each kind of factors the codes that know it, and the factor that is known best."""
    found = []
    for kind, members in _kinds_in(known).items():
        codes, chance = _true_and_chance(known, kind)
        single = known[known["factor"].isin(members)]
        counts = beyond_chance(single)["code"].value_counts()
        said = {x.code: f"{x.code} {_said(x)}, {counts.get(x.code, 0)} of them" for x in codes}
        knowing = [said[row.code] for row in codes if _beyond(row, chance)]
        rest = [said[row.code] for row in codes if not _beyond(row, chance)]
        parts = [f"is read on the whole from the {'; '.join(knowing)}"] if knowing else []
        parts += [f"is not read on the whole from the {'; '.join(rest)}"] if rest else []
        best = _best(single[single["labels"] == "true"])
        found.append(
            f"{kind.capitalize()} (R squared, mean of {len(members)} factors, and how many of them "
            f"stand above chance) {', and '.join(parts)}. Labels of other people give at most "
            f"{_said(chance)}. Best known is {best.factor}, from the {best.code}, {_said(best)}."
        )
    return found


def layers_that_know(layers: pd.DataFrame) -> list[str]:
    """For each code and kind of factors the styles from which it is read best and least."""
    found = []
    for code, part in layers.groupby("code", sort=False):
        clauses = []
        for kind in _kinds_in(part):
            (best, *_, least), chance = _true_and_chance(part, kind)
            if not _beyond(best, chance):
                where = f"from no style beyond chance, at best from {best.style}, {_said(best)}"
            elif best.low <= least.high:
                where = f"from all styles about alike, at best from {best.style}, {_said(best)}"
            else:
                where = f"best from style {best.style}, {_said(best)}"
                where += f", and least from style {least.style}, {_said(least)}"
            clauses.append(f"{kind} is read {where} (chance {_said(chance)})")
        found.append(f"In the {code}: {'; '.join(clauses)}.")
    return found


def layers_that_show(swapped: pd.DataFrame) -> list[str]:
    """For each factor the style that, swapped alone, takes the picture furthest."""
    best = [_best(x) for _, x in swapped[swapped["style"] != "all"].groupby("what", sort=False)]
    clauses = [
        f"{row.what} {_said(row)}, style {row.style}{'' if row.low > 0 else ', maybe none'}"
        for row in best
    ]
    return [f"What part of the way one style alone takes a picture, at most: {'; '.join(clauses)}."]


def merits_of_axes(scored: pd.DataFrame) -> list[str]:
    """For each score the code that has the most of it, against the same code turned."""
    found = []
    for score, part in scored.groupby("score", sort=False):
        own = _best(part[part["axes"] == "own"])
        turned = _only(part, code=own.code, axes="turned")
        verdict = "more" if own.low > turned.high else "not clearly more"
        found.append(
            f"{score}: most in the {own.code}, {_said(own)}, {verdict} than in the same code "
            f"turned at random, {_said(turned)}."
        )
    return found


def people_in_motion(who: pd.DataFrame) -> list[str]:
    """Whether people are told apart by motion codes, against shuffled people."""
    found, taught = [], who[who["measured"] == "taught"]
    for row in _rows(taught[taught["code"].isin(MOTIONS)]):
        plain, chance = (_only(who, code=row.code, measured=m) for m in ("as it is", "shuffled"))
        found.append(
            f"{'Yes' if row.low > chance.high else 'Not beyond chance'}: two pictures of one "
            f"person lie closer in the {row.code} than two of different people with a chance of "
            f"{_said(row)} where others are told apart best, of {_said(plain)} in the code as it "
            f"is; with people shuffled {_said(chance)}."
        )
    others = [f"{x.code} {_said(x)}" for x in _rows(taught[~taught["code"].isin(MOTIONS)])]
    return [*found, f"For comparison, where people should be told apart: {', '.join(others)}."]


def motion_of_identity(known: pd.DataFrame, pose: pd.DataFrame) -> list[str]:
    """How much identity codes know of their own pictures' motion, and what of it results show.

    A leak is not to be overlooked, so here an interval above 0 is enough; how often that happens by
    chance stands beside it.
    """
    found = []
    for kind in ("pose", "expression"):
        codes, chance = _true_and_chance(known, kind)
        own = next(row for row in codes if row.code == "identity code")
        found.append(
            f"Identity codes {'' if _beyond(own, chance) else 'do not '}know the {kind} of their "
            f"own pictures: R squared {_said(own)}, labels of other people at most {_said(chance)}."
        )
    above, rest = {}, {}
    for source, part in pose.groupby("source"):
        said = {row.factor: f"{row.factor} {_said(row, 3)}" for row in _rows(part)}
        sure = {row.factor for row in _rows(part) if row.low > 0}
        above[source] = ", ".join(x for name, x in said.items() if name in sure) or "nothing"
        rest[source] = ", ".join(x for name, x in said.items() if name not in sure) or "nothing"
    for source, name in {"driver": "the driver", "identity": "the identity's own picture"}.items():
        found.append(
            f"Results go with {name} in: {above[source]} (slopes whose interval lies above 0). Not "
            f"so in: {rest[source]}."
        )
    return [*found, f"With pictures in random order, the control, they go in: {above['shuffled']}."]


def spaces_apart(angles: pd.DataFrame) -> list[str]:
    """The smallest and the middle angle between the spaces, against both controls."""
    found = []
    count = angles["number"].max()
    for which, number in {"nearest": 1, "middle": (count + 1) // 2}.items():
        own, same, random = (
            _only(angles, pair=pair, number=number)
            for pair in ("motion and identity", "identity, two halves", "random")
        )
        if own.high >= random.low:
            verdict = "as far apart as spaces that share nothing"
        elif own.low <= same.high:
            verdict = "no further apart than identity is from itself"
        else:
            verdict = "further apart than identity is from itself, nearer than by chance"
        found.append(
            f"Their {which} directions (number {number} of {count}) stand {_said(own, 0)} degrees "
            f"apart, {verdict}: identity in two halves of the people {_said(same, 0)}, random "
            f"spaces {_said(random, 0)}."
        )
    return found


def prices_of_edits(edited: pd.DataFrame) -> list[str]:
    """For each factor, at the largest change asked, what each method reaches and costs."""
    found = []
    for factor, part in edited.groupby("factor", sort=False):
        part = part[part["asked"] == part["asked"].max()]
        best, *others = _rows(_falling(part[part["what"] == "identity"]))
        clauses = []
        for kept in (best, *others):
            reached, moved = (
                _only(part, method=kept.method, what=what) for what in ("reached", "others")
            )
            clauses.append(
                f"{kept.method} {_said(kept)} (it reaches {_said(reached)}, and moves other "
                f"factors by {_said(moved)} of their spreads)"
            )
        clear = all(best.low > other.high for other in others)
        found.append(
            f"Asked for {best.asked:+g} of {factor}, these keep the person by a cosine of: "
            f"{', '.join(clauses)}. Clearly best: {best.method if clear else 'none'}."
        )
    return found


def _true_and_chance(table: pd.DataFrame, factor: str) -> tuple[list[Row], Row]:
    """What is read of a factor, the most first, and the most that shuffled labels give."""
    own = table[table["factor"] == factor]
    shuffled = own[own["labels"] == "shuffled"]
    return _rows(_falling(own[own["labels"] == "true"])), _best(shuffled, by="high")


def _kinds_in(table: pd.DataFrame) -> dict[str, list[str]]:
    """The kinds that a table has, with those of their factors that it has."""
    names = set(table["factor"])
    return {
        kind: [name for name in members if name in names]
        for kind, members in KINDS.items()
        if kind in names
    }


def _rows(table: pd.DataFrame) -> list[Row]:
    return list(table.itertuples(index=False))


def _falling(table: pd.DataFrame, by: str = "value") -> pd.DataFrame:
    return table.sort_values(by, ascending=False)


def _best(table: pd.DataFrame, by: str = "value") -> Row:
    return _rows(_falling(table, by))[0]


def _only(table: pd.DataFrame, **where: object) -> Row:
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = _rows(table)
    return row


def _beyond(row: Row, chance: Row) -> bool:
    """Whether a share is more than nothing, and more than its control."""
    return row.low > max(chance.high, 0)


def _said(row: Row, digits: int = 2) -> str:
    # Zero is added after rounding, so that nothing is called minus zero.
    value, low, high = (
        f"{round(x, digits) + 0.0:.{digits}f}" for x in (row.value, row.low, row.high)
    )
    return f"{value} [{low}, {high}]"
