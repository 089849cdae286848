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
from xfer.disentangle import codes, directions, factors, leakage, probes, swaps
from xfer.disentangle.keeping import keep_tables
from xfer.errors import BadValue
from xfer.faceworld.factors import draw_factors
from xfer.metrics import disentanglement as scores
from xfer.metrics.intervals import r2_interval

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
    table = pd.DataFrame({name: [1.0, 2.0] for name in factors.MOTION} | {"skin_tone": [7.0, 8.0]})
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


def test_all_that_varies_is_asked_for_and_nothing_else():
    table = draw_factors(200, seed=0, preset="studio").columns
    table = pd.DataFrame({name: values.numpy() for name, values in table.items()})
    names = [*factors.MOTION, *factors.IDENTITY, *factors.SCENE]
    assert len(names) == 13 + 59 + 22 == len(table.columns)
    # The studio has plain backgrounds and a head in the middle.
    constant = {"pattern_strength", "shift_x", "shift_y", "zoom"}
    assert set(names) - set(factors.varying(table, names)) == constant


def test_a_hue_is_read_all_around_its_circle_and_a_choice_option_by_option():
    rng = np.random.default_rng(0)
    hue, style = rng.uniform(-1, 1, 300), rng.integers(0, 3, 300).astype(float)
    labels = pd.DataFrame({"shirt_hue": hue, "hair_style": style})
    known = np.stack([np.sin(np.pi * hue), np.cos(np.pi * hue), style == 1, style == 2], axis=1)
    table = probes.probe_table({"code": known}, labels, list(labels), PEOPLE)
    for factor in labels:
        assert found(table, factor=factor, labels="true").low > 0.99
        assert found(table, factor=factor, labels="shuffled").value < 0.05


def test_a_kind_of_factors_is_read_as_well_as_its_factors_on_average():
    labels = pd.DataFrame(normal(3) * [1, 20, 0.1], columns=["jaw", "smile", "yaw_deg"])
    code = labels[["jaw", "yaw_deg"]].to_numpy()
    table = probes.probe_table({"code": code}, labels, list(labels), PEOPLE)
    of = lambda name: found(table, factor=name, labels="true")
    assert of("expression").value == pytest.approx((of("jaw").value + of("smile").value) / 2)
    assert of("expression").low < of("expression").value < of("expression").high
    assert of("pose")[3:] == pytest.approx(of("yaw_deg")[3:])
    assert "identity" not in set(table["factor"])


def test_factors_that_some_code_knows_come_first():
    table = pd.DataFrame(
        {
            "factor": ["jaw", "age", "jaw", "smile"],
            "value": [0.1, 0.5, 0.7, 0.2],
            "code": list("hhwh"),
        }
    )
    assert probes.best_known(table, ["jaw", "age", "smile"], 2) == ["jaw", "age"]
    assert probes.best_known(table, ["smile"], 2) == ["smile"]


def test_what_is_known_beyond_chance_stands_above_its_control_and_above_nothing():
    rows = [
        ("h", "jaw", "true", 0.2, 0.3),
        ("h", "jaw", "shuffled", -0.1, 0.1),
        ("w", "jaw", "true", 0.2, 0.3),
        ("w", "jaw", "shuffled", 0.1, 0.25),
        ("h", "age", "true", -0.01, 0.3),
        ("h", "age", "shuffled", -0.2, -0.1),
    ]
    table = pd.DataFrame(rows, columns=["code", "factor", "labels", "low", "high"])
    (row,) = probes.beyond_chance(table).itertuples()
    assert (row.code, row.factor, row.labels) == ("h", "jaw", "true")


def test_intervals_of_probes_are_those_of_a_bootstrap_over_people():
    labels = pd.DataFrame(normal(1), columns=["jaw"])
    code = labels.to_numpy() + normal(1, 1)
    test = scores.held_out_people(PEOPLE)
    (row,) = probes.probe_table({"code": code}, labels, ["jaw"], PEOPLE)[:1].itertuples()
    read = scores.probe(code, labels.to_numpy(), PEOPLE, test)[:, 0]
    wanted = r2_interval(read, labels["jaw"].to_numpy()[test], PEOPLE[test])
    assert (row.value, row.low, row.high) == pytest.approx(wanted)


def test_layers_of_every_latent_are_probed_one_by_one_with_their_controls():
    w = torch.randn(300, 3, 4, generator=torch.Generator().manual_seed(0))
    labels = pd.DataFrame({"jaw": w[:, 1].sum(1).numpy()})
    latents = {"identity code": w, "result in W+": w.flip(1)[:, :2]}
    table = probes.layer_table(latents, labels, ["jaw"], PEOPLE)
    table = table[table["factor"] == "jaw"].set_index(["code", "style", "labels"])["value"]
    assert len(table) == 2 * (3 + 2)
    for knowing in (("identity code", "1", "true"), ("result in W+", "1", "true")):
        assert table.pop(knowing) > 0.99
    assert table.max() < 0.05


def test_only_axes_of_their_own_score_more_than_turned_ones():
    labels = pd.DataFrame(normal(3), columns=["jaw", "age", "smile"])
    # Components of equal width would have no axes of their own.
    table = probes.score_table(
        {"code": labels.to_numpy() * [1, 2, 3]}, labels, list(labels), PEOPLE
    )
    for score in ("disentanglement", "completeness", "MIG", "SAP"):
        own, turned = (found(table, axes=axes, score=score) for axes in ("own", "turned"))
        assert own.low > turned.high and own.value > 0.6


def test_components_that_are_rounding_errors_do_not_count():
    labels = pd.DataFrame(normal(2), columns=["jaw", "age"])
    code = labels.to_numpy() * [1, 2]
    lifted = np.concatenate([code, 1e-6 * normal(2, 1)], axis=1)
    table = probes.score_table({"code": code, "lifted": lifted}, labels, list(labels), PEOPLE)
    values = table.set_index(["code", "axes", "score"])["value"]
    assert values["lifted", "own"].to_dict() == pytest.approx(values["code", "own"].to_dict())


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
    assert found(result, source="shuffled").value == pytest.approx(0, abs=1e-3)


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
