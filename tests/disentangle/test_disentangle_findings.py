"""Findings say what the tables say, of good models and of poor ones."""

import pandas as pd

from xfer.disentangle.findings import as_prose, as_table, findings


def table(columns, *rows):
    return pd.DataFrame(rows, columns=[*columns, "value", "low", "high"])


def tables(good):
    """What a model that has learned its task leaves behind, and what an untrained one does."""
    full, nothing = (0.9, 0.85, 0.95), (-0.001, -0.1, 0.05)
    read = full if good else nothing
    known = table(
        ("code", "factor", "labels"),
        *(
            (code, factor, labels, *(nothing if labels == "shuffled" else found))
            for code, found in (("bottleneck h", read), ("identity code", nothing))
            for factor in ("yaw_deg", "pitch_deg", "pose", "jaw", "expression", "age", "identity")
            for labels in ("true", "shuffled")
        ),
    )
    layers = table(
        ("code", "style", "factor", "labels"),
        *(
            ("identity code", style, factor, labels, *(read if true else nothing))
            for factor in ("yaw_deg", "pose")
            for style, labels, true in (
                ("0", "true", False),
                ("3", "true", True),
                ("0", "shuffled", False),
                ("3", "shuffled", False),
            )
        ),
    )
    return {
        "known": known,
        "layers": layers,
        "swapped": table(
            ("style", "what"), ("2", "yaw_deg", *read), ("all", "yaw_deg", 1.0, 1.0, 1.0)
        ),
        "scored": table(
            ("code", "axes", "score"),
            ("bottleneck h", "own", "MIG", *read),
            ("bottleneck h", "turned", "MIG", *nothing),
        ),
        "edited": table(
            ("method", "asked", "what"),
            *(
                (method, asked, what, *(full if method == "controls" else (kept, kept, kept)))
                for method, kept in (("controls", 0.0), ("boundary", 0.3 if good else 0.88))
                for asked in (0.0, 20.0)
                for what in ("reached", "identity", "others")
            ),
        ).assign(factor="yaw_deg"),
        "who": table(
            ("code", "measured"),
            *(
                (code, measured, *(full if measured == "taught" and good else (0.5, 0.45, 0.55)))
                for code in ("motion code", "identity code")
                for measured in ("as it is", "taught", "shuffled")
            ),
        ),
        "pose": table(
            ("factor", "source"),
            ("jaw", "driver", *read),
            ("jaw", "identity", *nothing),
            ("jaw", "shuffled", *nothing),
        ),
        "angles": table(
            ("pair", "number"),
            ("motion and identity", 1, *((50.0, 45.0, 55.0) if good else (84.0, 80.0, 88.0))),
            ("identity, two halves", 1, 15.0, 10.0, 20.0),
            ("random", 1, 85.0, 83.0, 87.0),
        ),
    }


def answers(found, question):
    return " ".join(found[found["question"].str.contains(question)]["answer"])


def test_a_good_model_s_findings_stand_above_chance():
    found = findings(**tables(good=True))
    lives = answers(found, "pose, expression and identity live")
    assert "Pose (R squared, mean of 2 factors" in lives
    assert "is read on the whole from the bottleneck h 0.90 [0.85, 0.95], 2 of them, and" in lives
    assert "is not read on the whole from the identity code 0.00 [-0.10, 0.05], 0 of them" in lives
    assert "best from style 3, 0.90 [0.85, 0.95], and least from style 0" in answers(
        found, "know it"
    )
    assert "yaw_deg 0.90 [0.85, 0.95], style 2." in answers(found, "show it")
    assert "more than in the same code" in answers(found, "single axes")
    assert answers(found, "who it is").startswith("Yes")
    leak = answers(found, "identity's own motion")
    assert "go with the driver in: jaw 0.900 [0.850, 0.950]" in leak
    assert "own picture in: nothing" in leak and "the control, they go in: nothing" in leak
    assert "Identity codes do not know the pose" in leak
    assert "nearer than by chance" in answers(found, "held apart")
    assert "Clearly best: controls" in answers(found, "edit")


def test_a_poor_model_s_findings_claim_nothing():
    found = findings(**tables(good=False))
    assert " is read" not in answers(found, "pose, expression and identity live")
    assert "from no style beyond chance" in answers(found, "know it")
    assert "maybe none" in answers(found, "show it")
    assert "not clearly more" in answers(found, "single axes")
    assert answers(found, "who it is").startswith("Not beyond chance")
    assert "go with the driver in: nothing" in answers(found, "identity's own motion")
    assert "share nothing" in answers(found, "held apart")
    assert "Clearly best: none" in answers(found, "edit")


def test_a_leak_is_told_although_chance_comes_near_it():
    told = tables(good=True)
    told["pose"] = table(
        ("factor", "source"),
        ("jaw", "driver", 0.5, 0.4, 0.6),
        ("jaw", "identity", 0.04, 0.02, 0.07),
        ("jaw", "shuffled", 0.0, -0.03, 0.03),
    )
    leak = answers(findings(**told), "identity's own motion")
    assert "own picture in: jaw 0.040 [0.020, 0.070]" in leak


def test_findings_read_as_prose_and_as_a_table():
    found = findings(**tables(good=True))
    assert sorted(as_table(found).index)[-8:] == sorted(found["question"].unique())
    assert len(as_table(found)) == len(found)
    prose = as_prose(found)
    assert prose.count("**") == 2 * found["question"].nunique() == 16
    assert prose.count("\n- ") == len(found) and "nan" not in prose
