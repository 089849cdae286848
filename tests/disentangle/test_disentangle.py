"""Analysis of codes, in worlds where every answer is known."""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import torch

from tests.controls.linear_world import moving_model
from tests.disentangle.toy_world import GENERATOR, JUDGE, latents
from xfer.controls import Controls, ControlsConfig
from xfer.disentangle import codes, directions, leakage, probes, swaps
from xfer.disentangle.keeping import keep_tables
from xfer.errors import BadValue

PEOPLE = np.repeat(np.arange(60), 5)


def normal(width, seed=0, rows=300):
    return np.random.default_rng(seed).standard_normal((rows, width))


def found(table, **where):
    """The one row of a table."""
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = table.itertuples(index=False)
    return row


def test_every_row_drives_one_stranger():
    people = np.array([0, 0, 0, 1, 2, 2, 3])
    for seed in range(20):
        driver = codes.strangers(people, seed)
        assert sorted(driver) == list(range(7)) and (people[driver] != people).all()
    with pytest.raises(BadValue, match="more than half"):
        codes.strangers(np.array([0, 0, 0, 1]))


def test_codes_are_those_of_the_model():
    model, people = moving_model("conditioned"), np.arange(6)
    images = torch.rand(6, 3, 32, 32) * 2 - 1
    own = codes.codes_of(model, images, people)
    plain = model.mapper(model.identify(images), model.motion_encoder(images[own.driver]))
    assert torch.allclose(own.result, plain, atol=1e-5)
    assert torch.allclose(own.motion, model.motion_encoder(images), atol=1e-5)
    drawn = model.generator.synthesis_from_styles(
        own.style.split([x.shape[1] for x in model.generator.styles(own.result)], dim=1)
    )
    assert torch.allclose(drawn, model.transfer(images[own.driver], images), atol=1e-4)
    assert {name: len(x) for name, x in own.flat().items()} == dict.fromkeys(own.flat(), 6)


def test_results_should_show_the_driver_s_motion_and_the_identity_s_face():
    table = pd.DataFrame({name: [1.0, 2.0] for name in codes.MOTION} | {"skin_tone": [7.0, 8.0]})
    wanted = codes.labels_of_results(table, np.array([1, 0]))
    assert wanted["yaw_deg"].tolist() == [2, 1] and wanted["skin_tone"].tolist() == [7, 8]


def test_probes_read_what_a_code_knows_and_controls_read_nothing():
    labels = pd.DataFrame(normal(2), columns=["jaw", "age"])
    code = np.concatenate([labels[["jaw"]].to_numpy() * 3 + 1, normal(4, 1)], axis=1)
    table = probes.probe_table({"code": code}, labels, ["jaw", "age"], PEOPLE)
    assert found(table, factor="jaw", labels="true").low > 0.99
    for row in (
        found(table, factor="age", labels="true"),
        found(table, factor="jaw", labels="shuffled"),
    ):
        assert row.value < 0.05


def test_layers_are_probed_one_by_one():
    w = torch.randn(300, 3, 4, generator=torch.Generator().manual_seed(0))
    labels = pd.DataFrame({"jaw": w[:, 1].sum(1).numpy()})
    table = probes.layer_table(w, labels, ["jaw"], PEOPLE).set_index("style")["value"]
    assert table["1"] > 0.99 and max(table["0"], table["2"]) < 0.05


def test_only_axes_of_their_own_score_more_than_turned_ones():
    labels = pd.DataFrame(normal(3), columns=["jaw", "age", "smile"])
    # Components of equal width would have no axes of their own.
    table = probes.score_table(
        {"code": labels.to_numpy() * [1, 2, 3]}, labels, list(labels), PEOPLE
    )
    for score in ("disentanglement", "completeness", "MIG", "SAP"):
        own, turned = (found(table, axes=axes, score=score) for axes in ("own", "turned"))
        assert own.low > turned.high and own.value > 0.6


def test_a_swapped_style_carries_what_it_carries():
    first, second = latents(64), latents(64, 1)
    table = swaps.swap_table(GENERATOR, first, second, JUDGE, ["yaw_deg", "jaw"])
    shares = {s: found(table, style=s, what="yaw_deg").value for s in ("0", "1", "2", "3", "all")}
    assert shares == pytest.approx({"0": 1, "1": 0, "2": 0, "3": 0, "all": 1}, abs=1e-5)
    halves = [found(table, style=s, what="jaw").value for s in ("1", "2")]
    assert sum(halves) == pytest.approx(1, abs=1e-5) and min(halves) > 0.3
    assert found(table, style="3", what="identity").value == pytest.approx(1, abs=1e-5)
    assert found(table, style="0", what="identity").value == pytest.approx(0, abs=1e-5)


def test_both_kinds_of_direction_point_to_their_factor():
    w = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 3.0, 1, 1, 1, 1]
    )
    axis = torch.eye(6)[1]
    label = w[:, 1] + 0.3 * w[:, 0]
    for direction in (directions.boundary(w, label), directions.component(w, -label)):
        along = torch.nn.functional.cosine_similarity(direction, axis, dim=0)
        assert along.abs() > 0.95 and direction.norm() == pytest.approx(3, rel=0.1)
    assert directions.boundary(w, label)[1] > 0 > directions.component(w, -label)[1]
    with pytest.raises(BadValue, match="samples"):
        directions.boundary(w[:5], label[:5])


def test_edits_reach_what_is_asked_and_tell_what_they_cost():
    start = latents(50, scale=0.1)

    def clean(amount):
        moved = start.clone()
        moved[:, 0, 0] += 0.03 * amount
        return moved

    def costly(amount):
        moved = clean(amount)
        moved[:, 3] += 0.1 * amount
        return moved

    edits = {"clean": clean, "costly": costly, "idle": lambda amount: start}
    table = directions.edit_table(GENERATOR, edits, "yaw_deg", JUDGE, [0.0, 2.0])
    reached = {m: found(table, method=m, asked=2.0, what="reached").value for m in edits}
    assert reached == pytest.approx({"clean": 2, "costly": 2, "idle": 0}, abs=1e-4)
    kept = {m: found(table, method=m, asked=2.0, what="identity").value for m in edits}
    assert kept["clean"] == pytest.approx(1) and kept["costly"] < 0.95
    assert found(table, method="clean", asked=2.0, what="others").value == pytest.approx(
        0, abs=1e-5
    )


def test_our_own_edit_moves_motions_by_spreads():
    model = moving_model()
    controls = Controls(ControlsConfig(5, ("yaw_deg", "jaw")))
    controls.moves[0, 0], controls.spread[0] = 1.0, 4.0
    h, identity = torch.randn(30, 5), torch.randn(30, 6, 6)
    w, label = torch.randn(100, 6), torch.randn(100)
    edits = directions.all_edits(model, controls, "yaw_deg", h, identity, w, label)
    person = model.person(identity)
    assert torch.equal(edits["controls"](0.0), model.latents(h, person))
    further = h + torch.tensor([8.0, 0, 0, 0, 0])
    assert torch.allclose(edits["controls"](2.0), model.latents(further, person), atol=1e-5)
    for name in ("boundary", "component"):
        step = edits[name](1.0) - identity
        assert torch.allclose(step, step[:1, :1].expand_as(step), atol=1e-5)


def test_people_are_found_in_codes_that_know_them():
    person = np.random.default_rng(1).standard_normal((60, 4))[PEOPLE]
    blind, knowing = normal(6), np.concatenate([10 * normal(6), person], axis=1)
    table = leakage.people_table({"blind": blind, "knowing": knowing}, PEOPLE)
    assert found(table, code="knowing", measured="taught").low > 0.9
    assert found(table, code="knowing", measured="as it is").value < 0.7
    for code, measured in (("blind", "taught"), ("knowing", "shuffled")):
        row = found(table, code=code, measured=measured)
        assert row.low - 0.1 < 0.5 < row.high + 0.1


def test_leaked_pose_is_told_from_the_driver_s():
    w, driver = latents(300), codes.strangers(PEOPLE)
    own = normal(1)[:, 0]
    w[:, 0, 0] = torch.from_numpy(0.08 * own[driver] + 0.02 * own)
    zero = torch.zeros(300, 2)
    made = codes.Codes(zero, w, w, w, zero, driver)
    table = pd.DataFrame({"person": PEOPLE, "yaw_deg": own})
    result = leakage.pose_table(GENERATOR, made, table, JUDGE, ["yaw_deg"])
    assert found(result, source="driver").value == pytest.approx(0.8, abs=1e-3)
    assert found(result, source="identity").value == pytest.approx(0.2, abs=1e-3)


def test_angles_of_motion_and_identity_have_their_controls():
    model = moving_model()
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    people = np.arange(40)
    table = leakage.angle_table(model, codes.codes_of(model, images, people), people, count=2)
    assert set(table["pair"]) == {"motion and identity", "identity, two halves", "random"}
    assert table["deg"].between(0, 90).all() and len(table) == 6


def test_kept_tables_tell_what_they_were_made_with(tmp_path):
    made, kept, weights = tmp_path / "made", tmp_path / "kept", tmp_path / "w.safetensors"
    made.mkdir()
    (made / "probes.csv").write_text("code,value\nh,1\n")
    (made / "metrics.json").write_text("{}")
    weights.write_bytes(b"abc")
    for _ in range(2):
        keep_tables(made, kept, {"weights": weights, "judges": "small-judges"}, people=7)
    assert {path.name for path in kept.iterdir()} == {"probes.csv", "run.json"}
    assert (kept / "probes.csv").read_text() == "code,value\nh,1\n"
    told = json.loads((kept / "run.json").read_text())
    assert told["weights"] == {"file": "w.safetensors", "sha256": sha256(b"abc").hexdigest()}
    assert told["judges"]["file"] == "small-judges.safetensors" and told["people"] == 7
    assert {"commit", "versions", "machine"} <= told.keys() and str(tmp_path) not in str(told)
    with pytest.raises(BadValue, match="holds no table"):
        keep_tables(tmp_path, kept, {})
