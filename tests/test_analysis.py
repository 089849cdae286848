"""Probes and directions on codes of which the answers are known."""

import itertools

import numpy as np
import pytest
import torch

from xfer import analysis


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = table.itertuples()
    return row


def test_a_probe_reads_what_is_there_and_nothing_from_shuffled_labels():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6))
    labels = {"yaw": x @ np.arange(6.0), "smile": rng.standard_normal(200)}
    table = analysis.probe_table({"w": x}, labels)
    assert one(table, factor="yaw", labels="true").low > 0.99
    for factor, kind in [("smile", "true"), ("yaw", "shuffled"), ("smile", "shuffled")]:
        assert one(table, factor=factor, labels=kind).value < 0.05


def test_axes_aligned_with_factors_score_above_rotated_ones():
    x = np.random.default_rng(0).standard_normal((400, 4)) * [4, 3, 2, 1]
    labels = {str(i): x[:, i] for i in range(4)}
    table = analysis.score_table({"w": x}, labels)
    for score in ("disentanglement", "completeness", "MIG", "SAP"):
        own, rotated = (one(table, axes=a, score=score).value for a in ("own", "rotated"))
        assert own > rotated + 0.1


def test_boundary_and_component_find_the_axis_of_a_factor():
    w = torch.randn(500, 4, generator=torch.Generator().manual_seed(1))
    w[:, 0] *= 5
    component = analysis.best_component(w, w[:, 0], among=3)
    for direction in (analysis.boundary(w, w[:, 0]), component):
        assert direction[0] / direction.norm() > 0.98
        assert direction.norm() == pytest.approx(5, rel=0.1)


def linear_read(w_plus):
    """A world in which style 0 carries the factors and style 1 the person."""
    return analysis.Readings(w_plus[:, 0, :2].numpy(), w_plus[:, 1].numpy())


def test_edits_are_compared_at_equal_motion():
    start = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(2))
    clean, costly = torch.zeros(2, 3), torch.zeros(2, 3)
    clean[0, 0], costly[0, 0], costly[1, 1], costly[0, 1] = 2.0, 0.5, 1.0, 0.25
    edits = {"clean": lambda a: start + a * clean, "costly": lambda a: start + a * costly}
    table = analysis.edit_table(edits, linear_read, factor=0, wanted=[1.0])
    for name in edits:
        assert one(table, edit=name, what="reached").value == pytest.approx(1, abs=1e-4)
    assert one(table, edit="clean", what="identity").value == pytest.approx(0, abs=1e-5)
    assert one(table, edit="costly", what="identity").value == pytest.approx(2, abs=1e-3)
    assert one(table, edit="costly", what="others").value > 0.3


def test_a_swap_shows_which_style_carries_what():
    rng = torch.Generator().manual_seed(3)
    first, second = torch.randn(40, 2, 3, generator=rng), torch.randn(40, 2, 3, generator=rng)
    table = analysis.swap_table(linear_read, first, second, ["yaw", "smile"])
    for what, shares in {"yaw": (1, 0), "identity": (0, 1)}.items():
        found = [one(table, style=style, what=what).value for style in "01"]
        assert found == pytest.approx(shares)


def test_the_channel_of_a_factor_is_named_and_angles_of_spans_are_right():
    styles = [torch.randn(200, 3), torch.randn(200, 4)]
    table = analysis.channel_table(styles, -styles[1][:, 2], count=1)
    assert (table.layer[0], table.channel[0]) == (1, 2) and table.r[0] < -0.9
    axes = torch.eye(6)
    np.testing.assert_allclose(analysis.angles_deg(axes[:2], axes[[1, 0]]), 0, atol=1e-5)
    np.testing.assert_allclose(analysis.angles_deg(axes[:2], axes[2:4]), 90)


GRID = np.array(list(itertools.product(range(4), repeat=2)), float)
"""Two independent factors of four values, every combination once."""


def test_a_code_that_is_the_factors_scores_one_and_one_that_never_changes_nothing():
    assert analysis.mig(GRID, GRID) == pytest.approx([1, 1])
    assert analysis.sap(GRID, GRID) == pytest.approx([1, 1])
    assert analysis.dci(np.eye(2)) == (1, 1)
    assert analysis.dci(analysis.importance(GRID, GRID)) == pytest.approx((1, 1), abs=1e-6)
    still = np.zeros_like(GRID)
    assert analysis.mig(still, GRID) == pytest.approx([0, 0])
    assert analysis.sap(still, GRID) == pytest.approx([0, 0])
    assert analysis.dci(analysis.importance(still, GRID)) == (0, 0)


def test_half_a_factor_has_half_of_its_bits_and_a_sum_of_two_explains_half_of_each():
    high = (GRID[:, :1] >= 2).astype(float)
    code = np.concatenate([high, np.zeros_like(high)], axis=1)
    assert analysis.mig(code, GRID) == pytest.approx([0.5, 0])
    code = np.stack([GRID[:, 0], GRID.sum(1)], axis=1)
    # First factor: explained wholly by itself and by half by the sum; second: by half, and not.
    assert analysis.sap(code, GRID) == pytest.approx([0.5, 0.5])


def test_dci_by_hand():
    # First row is shared by both factors evenly, second belongs to the second alone; weights 1/2.
    disentanglement, completeness = analysis.dci(np.array([[1.0, 1.0], [0.0, 2.0]]))
    thirds = 1 + (1 / 3 * np.log(1 / 3) + 2 / 3 * np.log(2 / 3)) / np.log(2)
    assert disentanglement == pytest.approx(0.5 * 0 + 0.5 * 1)
    assert completeness == pytest.approx(0.25 * 1 + 0.75 * thirds)
