"""Flags that are typed more than once lose nothing."""

import pytest

from xfer import cli
from xfer.arguments import gathered


@pytest.mark.parametrize(
    "typed",
    [
        "--set a=1 b=2 c=3 --out x",
        "--set a=1 --set b=2 --set c=3 --out x",
        "--set a=1 --out x --set b=2 c=3",
        "--set=a=1 --set b=2 --out x --set=c=3",
    ],
)
def test_a_repeated_flag_keeps_all_of_its_values(typed):
    assert gathered(typed.split()) == ["--set", "a=1", "b=2", "c=3", "--out", "x"]


def test_two_names_of_a_flag_are_one_and_all_else_stays_as_typed():
    typed = "transfer --driver a b --half --source c --only mouth --seed 1 --only eyes --seed 2"
    assert " ".join(gathered(typed.split())) == (
        "transfer --driver a b c --half --only mouth eyes --seed 1 --seed 2"
    )
    assert gathered(["notebooks", "run", "00", "-h"]) == ["notebooks", "run", "00", "-h"]


def test_every_setting_given_by_a_repeated_flag_reaches_the_training(monkeypatch):
    from xfer.training import recipes

    seen = []
    monkeypatch.setattr(recipes, "train_generator", lambda *given: seen.append(given[3]))
    begin = ["train", "generator", "--out", "x", "--frames", "y"]
    assert cli.main([*begin, "--set", "batch=4", "--set", "total_kimg=0.012", "seed=1"]) == 0
    assert seen == [("batch=4", "total_kimg=0.012", "seed=1")]


def test_parts_drivers_identities_and_models_may_be_repeated(monkeypatch):
    from xfer.evaluate import command as evaluation
    from xfer.reenact import command

    seen = []
    monkeypatch.setattr(command, "transfer", lambda *given, **_: seen.append(given) or [])
    monkeypatch.setattr(evaluation, "run", lambda *given, **_: seen.append(given))
    typed = "--driver a --driver b --identity c --target d --out x --only mouth --only eyes"
    assert cli.main(["transfer", *typed.split()]) == 0
    drivers, identities, _, settings, *_ = seen[0]
    assert (drivers, identities) == (("a", "b"), ("c", "d"))
    assert settings.only == ("mouth", "eyes")
    typed = "--judges j --out x --weights m --weights n"
    assert cli.main(["evaluate", *typed.split()]) == 0
    assert seen[1][0] == ("m", "n")
