"""Scores of disentanglement on codes whose answers are worked out by hand."""

import itertools

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import mutual_info_score

from xfer.errors import BadValue
from xfer.metrics import disentanglement as d
from xfer.metrics.recognition import auc, pair_scores

GRID = np.array(list(itertools.product(range(4), repeat=2)), float)
"""Two independent factors of four values, every combination once."""


def normal(n, width, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width))


def test_a_code_that_is_the_factors_scores_one():
    assert d.mig(GRID, GRID) == pytest.approx([1, 1])
    assert d.sap(GRID, GRID) == pytest.approx([1, 1])
    assert d.dci(np.eye(2)) == (1, 1)
    assert d.dci(d.importance(GRID, GRID)) == pytest.approx((1, 1), abs=1e-6)


def test_order_and_scale_of_a_code_do_not_matter():
    code = GRID[:, ::-1] * [3, -0.1] + 7
    assert d.mig(code, GRID) == pytest.approx([1, 1])
    assert d.sap(code, GRID) == pytest.approx([1, 1])
    assert d.dci(d.importance(code, GRID)) == pytest.approx((1, 1), abs=1e-6)


def test_a_code_that_never_changes_scores_nothing():
    still = np.zeros_like(GRID)
    assert d.mig(still, GRID) == pytest.approx([0, 0])
    assert d.sap(still, GRID) == pytest.approx([0, 0])
    assert d.dci(d.importance(still, GRID)) == (0, 0)


def test_a_code_given_twice_has_no_gap():
    twice = np.concatenate([GRID, GRID], axis=1)
    assert d.mig(twice, GRID) == pytest.approx([0, 0], abs=1e-12)
    assert d.sap(twice, GRID) == pytest.approx([0, 0], abs=1e-12)


def test_a_sum_of_both_factors_explains_half_of_each():
    code = np.stack([GRID[:, 0], GRID.sum(1)], axis=1)
    # First factor: explained wholly by itself and by half by the sum; second: by half, and not.
    assert d.sap(code, GRID) == pytest.approx([0.5, 0.5])


def test_mig_of_half_a_factor_is_half_of_its_bits():
    high = (GRID[:, :1] >= 2).astype(float)
    code = np.concatenate([high, np.zeros_like(high)], axis=1)
    assert d.mig(code, GRID) == pytest.approx([0.5, 0])


def test_dci_by_hand():
    # First row is shared by both factors evenly, second belongs to the second alone; weights 1/2.
    found = d.dci(np.array([[1.0, 1.0], [0.0, 2.0]]))
    thirds = 1 + (1 / 3 * np.log(1 / 3) + 2 / 3 * np.log(2 / 3)) / np.log(2)
    assert found.disentanglement == pytest.approx(0.5 * 0 + 0.5 * 1)
    assert found.completeness == pytest.approx(0.25 * 1 + 0.75 * thirds)


def test_evenly_spread_importance_is_no_disentanglement():
    assert d.dci(np.ones((5, 4))) == pytest.approx((0, 0))


def test_turning_a_code_costs_axes_but_no_knowledge():
    labels = normal(1500, 6)
    code = d.rotated(labels, seed=1)
    people = np.arange(1500) // 5
    test = d.held_out_people(people)
    assert d.probe(code, labels, people, test) == pytest.approx(labels[test], abs=0.02)
    assert d.dci(d.importance(labels, labels)).disentanglement > 0.98
    assert d.dci(d.importance(code, labels)).disentanglement < 0.6
    assert d.mig(code, labels).mean() < 0.2 < 0.8 < d.mig(labels, labels).mean()


def test_a_probe_finds_what_is_there_and_nothing_else():
    code = normal(1000, 40)
    labels = np.stack([code @ np.arange(40) / 100, normal(1000, 1, seed=5)[:, 0]], axis=1)
    people = np.arange(1000) // 4
    test = d.held_out_people(people)
    error = ((d.probe(code, labels, people, test) - labels[test]) ** 2).mean(0)
    error /= labels[test].var(0)
    assert error[0] < 0.01 and 0.9 < error[1] < 1.15


def test_a_faint_trait_is_read_of_people_who_were_not_there():
    """Two hundred people of five pictures, whose codes differ in much else, picture by picture
    alike: leaving out pictures would choose a penalty that recognises people, and predict worse
    than the mean."""
    people, trait = np.repeat(np.arange(200), 5), normal(200, 1, 2)
    person = normal(200, 200, 1) + trait * normal(1, 200, 3) / 12
    code, labels = person[people] + 0.1 * normal(1000, 200, 4), trait[people]
    test = d.held_out_people(people)
    taught, read = labels[~test], labels[test]
    r2 = lambda found: 1 - np.square(found - read).sum() / np.square(read - read.mean()).sum()
    scaled = (code - code[~test].mean(0)) / code[~test].std(0)
    by_rows = RidgeCV(alphas=d.PENALTIES).fit(scaled[~test], taught[:, 0])
    assert r2(by_rows.predict(scaled[test])[:, None]) < -0.3
    best = max(
        r2(Ridge(alpha=alpha).fit(scaled[~test], taught).predict(scaled[test]).reshape(-1, 1))
        for alpha in d.PENALTIES
    )
    assert r2(d.probe(code, labels, people, test)) > best - 0.02 > 0.3


def test_narrow_codes_and_wide_ones_are_read_alike():
    """Numbers that repeat make a code wider than it has rows, and add nothing."""
    code = normal(60, 3)
    labels = normal(60, 2, 1) + code[:, :2]
    wide = np.tile(code, 20)  # as if every penalty were a twentieth
    narrow = d._ridge_path(code[:50], labels[:50], code[50:])
    assert d._ridge_path(wide[:50], labels[:50], wide[50:])[4] == pytest.approx(
        Ridge(alpha=d.PENALTIES[4] / 20).fit(code[:50], labels[:50]).predict(code[50:])
    )
    assert narrow[4] == pytest.approx(
        Ridge(alpha=d.PENALTIES[4]).fit(code[:50], labels[:50]).predict(code[50:])
    )


def test_people_are_held_out_whole():
    people = np.repeat(np.arange(20), 3)
    test = d.held_out_people(people, 0.3, seed=2)
    assert test.sum() == 18 and not set(people[test]) & set(people[~test])
    with pytest.raises(BadValue, match="two people at least"):
        d.held_out_people(np.zeros(5, int))


def test_labels_are_shuffled_by_person():
    people = np.repeat(np.arange(6), [3, 2, 3, 1, 4, 3])
    order = d.shuffled_by_person(people, seed=1)
    given = people[order]
    assert (given != people).all() and set(given) == set(people)
    assert all(len(set(given[people == name])) == 1 for name in range(6))
    with pytest.raises(BadValue, match="two people at least are needed; got 1"):
        d.shuffled_by_person(np.zeros(5, int))


def test_directions_that_tell_people_apart_carry_over_to_others():
    people = np.repeat(np.arange(120), 5)
    loud, faint = 10 * normal(600, 8, 1), 0.5 * normal(120, 3, 2)[people] + 0.05 * normal(600, 3, 3)
    code = d.rotated(np.concatenate([loud, faint], axis=1))
    test = d.held_out_people(people)
    apart = lambda x: auc(*pair_scores(x, people[test]))
    assert apart(code[test]) < 0.6 < 0.95 < apart(d.telling_people_apart(code, people, test))


def test_principal_components_are_sorted_and_lossless():
    code = normal(200, 6) * [1, 5, 2, 0.1, 3, 0.5]
    found = d.principal_components(code, 6)
    assert found.std(0).tolist() == sorted(found.std(0), reverse=True)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(code - code.mean(0)))
    with pytest.raises(BadValue, match="1 to 6 comp"):
        d.principal_components(code, 7)


def test_angles_of_planes_by_hand():
    axes = np.eye(4)
    tilted = np.stack([axes[0], axes[1] + axes[2]], axis=1)
    assert d.principal_angles_deg(axes[:, :2], tilted) == pytest.approx([0, 45], abs=1e-5)
    assert d.principal_angles_deg(axes[:, :2], axes[:, 2:]) == pytest.approx([90, 90])


def test_a_gap_needs_two_numbers():
    with pytest.raises(BadValue, match="two numbers"):
        d.sap(GRID[:, :1], GRID)


def test_mutual_information_is_counted_as_scikit_learn_counts_it():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 7, (200, 5))
    label = codes[:, 0] // 2 + rng.integers(0, 3, 200)
    expected = [mutual_info_score(column, label) for column in codes.T]
    np.testing.assert_allclose(d._shared_information(codes, label), expected, atol=1e-12)
