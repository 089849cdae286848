"""The table of methods, judged by oracles whose answers are known."""

import numpy as np
import pytest
import torch

from xfer import evaluate as ev
from xfer.baselines import Inverted, baselines, copy_driver, copy_identity, show_truth
from xfer.errors import BadValue
from xfer.instruments import MOTION_FACTORS
from xfer.reenact.studio import untrained_model


@pytest.fixture(scope="module")
def trials():
    return ev.world_trials(people=3, per_person=2, size=16, seed=3, compiled=False)


class Lossless:
    """Latents are the pixels themselves, so that inversion is exact."""

    generator: "Lossless"

    def __init__(self):
        self.generator = self

    def identify(self, image, rounds=None):
        return image.flatten(2)

    def synthesis(self, w_plus):
        return w_plus.unflatten(2, (16, 16))

    def transfer(self, driver, identity):
        return self.synthesis(identity)


def oracle(trials):
    """Knows every picture of the trials: who it shows and what the face does."""
    true = torch.stack([trials.motion[name] for name in MOTION_FACTORS], 1)
    people = torch.from_numpy(trials.people)
    strangers = people.max() + 1 + torch.arange(len(trials))
    pictures = torch.cat([trials.driver.picture, trials.driver.truth, trials.identity])
    who = torch.cat([strangers, people, people])
    factors = torch.cat([true, true, 0 * true])
    points = trials.landmarks.repeat(3, 1, 1)
    nearest = lambda image: torch.cdist(image.flatten(1), pictures.flatten(1)).argmin(1)
    axes = torch.eye(int(who.max()) + 1)
    return ev.Judge(
        MOTION_FACTORS,
        lambda image: (factors[nearest(image)], points[nearest(image)]),
        lambda image: axes[who[nearest(image)]],
        lambda image: [image],
        {"yaw_deg_error": 0.0},
    )


@pytest.fixture(scope="module")
def table(trials):
    methods = baselines(Lossless())
    methods["frozen"] = copy_identity
    return ev.evaluate(methods, trials, oracle(trials))


def test_pictures_are_compared_as_sets_too(table, trials):
    found = ev.summarise(table).set_index(["metric", "method"]).loc["frechet"]
    assert found.loc["truth", ["value", "low", "high"]].tolist() == pytest.approx([0, 0, 0])
    assert found.loc["ceiling", "value"] == pytest.approx(0)
    assert found.loc["copy driver", "value"] > 0 and found.loc["copy driver", "n"] == len(trials)
    facts = table.attrs["frechet"]
    assert facts["against"] == "truths" and facts["pictures"] == len(trials)
    assert facts["halves"] > 0


def value(table, method, metric):
    summary = ev.summarise(table).set_index(["method", "metric"])
    return summary.loc[(method, metric), "value"]


def test_the_truth_scores_perfectly(table):
    summary = ev.summarise(table).set_index(["method", "metric"])["value"]["truth"]
    assert summary["psnr"] > 100 and summary["psnr_face"] > 100
    assert summary["ssim_face"] == pytest.approx(1) and summary["perceptual_face"] == 0
    assert summary["accepted"] == 1 and summary["median_rank"] == 1
    assert summary["yaw_deg_error"] == 0 and summary["yaw_deg_r"] == pytest.approx(1)
    assert summary["landmark_error"] == 0 and summary["cosine_photo"] == pytest.approx(1)


def test_pictures_are_compared_whole_and_on_the_face_alone(trials):
    face, truth = trials.face[:, None], trials.driver.truth
    methods = {
        "face": lambda driver, identity: torch.where(face, truth, -truth),
        "rest": lambda driver, identity: torch.where(face, -truth, truth),
    }
    found = ev.summarise(ev.evaluate(methods, trials, oracle(trials)))
    found = found.set_index(["method", "metric"])["value"]
    assert found["face", "perceptual_face"] == 0 and found["face", "perceptual"] > 0.1
    assert found["rest", "perceptual_face"] == found["rest", "perceptual"] > 0.1
    # Of an opposite direction the squared distance is 4: the share of pictures that is wrong.
    wrong = 4 * (1 - trials.face.float().mean().item())
    assert found["face", "perceptual"] == pytest.approx(wrong, rel=0.02)
    assert found["face", "psnr_face"] > 100 > found["face", "psnr"]


def test_the_ceiling_of_an_exact_inverter_is_the_truth(table):
    rows = lambda method: (
        table[table.method == method].drop(columns="method").reset_index(drop=True)
    )
    assert rows("ceiling").equals(rows("truth"))


def test_copying_the_driver_has_the_right_motion_and_nobody_s_face(table):
    assert value(table, "copy driver", "yaw_deg_error") == 0
    assert value(table, "copy driver", "expression_error") == 0
    assert value(table, "copy driver", "accepted") == 0
    summary = ev.summarise(table)
    cosines = summary[summary.metric == "cosine_photo"].set_index("method")["value"]
    assert cosines["copy driver"] == cosines.min()


def test_copying_the_identity_has_the_right_face_and_no_motion(table):
    assert value(table, "copy identity", "accepted") == 1
    assert value(table, "copy identity", "jaw_r") == 0
    assert value(table, "copy identity", "yaw_deg_error") > 5
    assert value(table, "copy identity", "cosine_inversion") == pytest.approx(1)


def test_the_long_table_has_one_number_a_method_trial_and_metric(table, trials):
    assert list(table.columns) == ["method", "trial", "metric", "value"]
    counts = table.groupby(["method", "metric"]).size()
    assert (counts == len(trials)).all()
    assert not table.duplicated(["method", "trial", "metric"]).any()
    assert table.attrs["judge_errors"] == {"yaw_deg_error": 0.0}


def test_intervals_contain_their_values(table):
    summary = ev.summarise(table)
    assert (summary.low <= summary.value + 1e-9).all()
    assert (summary.value <= summary.high + 1e-9).all()
    assert (summary.n == 6).all()


def test_methods_are_compared_trial_by_trial(table):
    gaps = ev.compare(table, "truth").set_index(["other", "metric"])
    assert gaps.loc[("copy identity", "yaw_deg_error"), "high"] < 0
    # All of three people agree by luck in one case of four.
    assert gaps.loc[("copy identity", "yaw_deg_error"), "p"] == 0.25
    assert gaps.loc[("ceiling", "psnr"), "value"] == 0
    assert "truth" not in gaps.index.get_level_values("other")
    assert gaps.loc[("copy identity", "yaw_deg_r"), "value"] == pytest.approx(1)
    assert gaps.loc[("copy identity", "yaw_deg_r"), ["low", "p"]].tolist() > [0, 0]
    assert gaps.loc[("copy driver", "jaw_r")].tolist() == [0, 0, 0, 1]
    names = set(gaps.index.get_level_values("metric"))
    assert not {name for name in names if name.endswith(("_read", "_true"))}
    assert names >= set(ev.summarise(table)["metric"]) - {"median_rank", "frechet"}
    with pytest.raises(BadValue, match="the table has the methods"):
        ev.compare(table, "magic")


def test_in_self_mode_the_driver_is_the_truth():
    trials = ev.world_trials(people=2, per_person=1, size=16, seed=4, mode="self", compiled=False)
    assert torch.equal(trials.driver.picture, trials.driver.truth)
    assert not torch.equal(trials.driver.picture, trials.driver.reference)


def test_trials_follow_from_their_seed_and_the_truth_shows_the_identity(trials):
    again = ev.world_trials(people=3, per_person=2, size=16, seed=3, compiled=False)
    assert torch.equal(again.driver.truth, trials.driver.truth)
    assert trials.people.tolist() == [0, 0, 1, 1, 2, 2]
    assert trials.face.flatten(1).float().mean(1).min() > 0.1
    # Who and where are the identity's: without motion the truth would be its photo.
    gap = lambda a, b: (a - b).square().mean()
    corner = lambda x: x[:, :, :3, :3].mean((2, 3))
    assert gap(corner(trials.driver.truth), corner(trials.identity)) < gap(
        corner(trials.driver.truth), corner(trials.driver.picture)
    )
    with pytest.raises(BadValue, match="two people at least; got 1"):
        ev.world_trials(people=1)


def test_without_truth_what_can_be_measured_is(trials):
    from dataclasses import replace

    driver = trials.driver._replace(truth=None)
    bare = replace(trials, driver=driver, face=None, landmarks=None, motion=None)
    table = ev.evaluate({"copy driver": copy_driver}, bare, oracle(trials))
    metrics = set(table.metric)
    assert {"yaw_deg_error", "cosine_photo", "rank"} <= metrics
    assert not {"psnr", "landmark_error"} & metrics
    facts = table.attrs["frechet"]
    assert facts["against"] == "drivers and identities" and facts["pictures"] == 2 * len(trials)
    with pytest.raises(BadValue, match="truth of these drivers is not known"):
        ev.evaluate({"truth": show_truth}, bare, oracle(trials))


def test_an_untrained_model_passes_through_the_whole_table(trials):
    model = untrained_model()
    methods = {"ceiling": Inverted(model, show_truth)}
    table = ev.evaluate(methods, trials, oracle(trials))
    assert np.isfinite(table["value"]).all()


def test_a_judge_without_looks_compares_no_sets(trials):
    from dataclasses import replace

    table = ev.evaluate({"truth": show_truth}, trials, replace(oracle(trials), look=None))
    assert "frechet" not in set(ev.summarise(table)["metric"])
