"""Probes and directions on codes of which the answers are known."""

import numpy as np
import pytest
import torch

from xfer.analysis.latent_directions import (
    Readings,
    angles_deg,
    best_component,
    boundary,
    channel_table,
    edit_table,
    swap_table,
)
from xfer.analysis.probes import probe_table, score_table

RNG = np.random.default_rng(0)


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = table.itertuples()
    return row


def test_a_probe_reads_what_is_there_and_nothing_from_shuffled_labels():
    x = RNG.standard_normal((200, 6))
    labels = {"yaw": x @ np.arange(6.0), "smile": RNG.standard_normal(200)}
    table = probe_table({"w": x}, labels)
    assert one(table, factor="yaw", labels="true").low > 0.99
    for factor, kind in [("smile", "true"), ("yaw", "shuffled"), ("smile", "shuffled")]:
        assert one(table, factor=factor, labels=kind).value < 0.05


def test_axes_aligned_with_factors_score_above_rotated_ones():
    x = RNG.standard_normal((400, 4)) * [4, 3, 2, 1]
    labels = {str(i): x[:, i] for i in range(4)}
    table = score_table({"w": x}, labels)
    for score in ("disentanglement", "completeness", "MIG", "SAP"):
        own, rotated = (one(table, axes=a, score=score).value for a in ("own", "rotated"))
        assert own > rotated + 0.1


def test_boundary_and_component_find_the_axis_of_a_factor():
    w = torch.randn(500, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [5.0, 1, 1, 1]
    )
    for direction in (boundary(w, w[:, 0]), best_component(w, w[:, 0], among=3)):
        assert direction[0] / direction.norm() > 0.98
        assert direction.norm() == pytest.approx(5, rel=0.1)


def linear_read(w_plus):
    """A world in which style 0 carries the factors and style 1 the person."""
    return Readings(w_plus[:, 0, :2].numpy(), w_plus[:, 1].numpy())


def test_edits_are_compared_at_equal_motion():
    start = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(2))
    clean, costly = torch.zeros(2, 3), torch.zeros(2, 3)
    clean[0, 0], costly[0, 0], costly[1, 1], costly[0, 1] = 2.0, 0.5, 1.0, 0.25
    edits = {"clean": lambda a: start + a * clean, "costly": lambda a: start + a * costly}
    table = edit_table(edits, linear_read, factor=0, wanted=[1.0])
    for name in edits:
        assert one(table, edit=name, what="reached").value == pytest.approx(1, abs=1e-4)
    assert one(table, edit="clean", what="identity").value == pytest.approx(0, abs=1e-5)
    assert one(table, edit="costly", what="identity").value == pytest.approx(2, abs=1e-3)
    assert one(table, edit="costly", what="others").value > 0.3


def test_a_swap_shows_which_style_carries_what():
    rng = torch.Generator().manual_seed(3)
    first, second = torch.randn(40, 2, 3, generator=rng), torch.randn(40, 2, 3, generator=rng)
    table = swap_table(linear_read, first, second, ["yaw", "smile"])
    assert one(table, style="0", what="yaw").value == pytest.approx(1)
    assert one(table, style="1", what="yaw").value == pytest.approx(0)
    assert one(table, style="1", what="identity").value == pytest.approx(1)
    assert one(table, style="0", what="identity").value == pytest.approx(0)


def test_the_channel_that_follows_a_factor_is_named():
    styles = [torch.randn(200, 3), torch.randn(200, 4)]
    table = channel_table(styles, -styles[1][:, 2], count=1)
    assert (table.layer[0], table.channel[0]) == (1, 2) and table.r[0] < -0.9


def test_angles_of_equal_and_orthogonal_spans():
    axes = torch.eye(6)
    np.testing.assert_allclose(angles_deg(axes[:2], axes[[1, 0]]), 0, atol=1e-5)
    np.testing.assert_allclose(angles_deg(axes[:2], axes[2:4]), 90)
