"""Recognition rates on embeddings whose answer is plain."""

import numpy as np
import pytest

from xfer.errors import BadValue
from xfer.metrics.recognition import auc, pair_scores, ranks, true_accept_rate


def test_pairs_are_split_by_person():
    embeddings = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    same, different = pair_scores(embeddings, np.array([7, 7, 8]))
    assert same.tolist() == [1.0] and different.tolist() == [0.0, 0.0]


def test_auc_is_one_when_apart_and_half_when_alike():
    assert auc(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 1.0
    assert auc(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.5
    with pytest.raises(BadValue, match="got 0 and 1"):
        auc(np.array([]), np.array([0.5]))


def test_the_true_accept_rate_is_read_at_the_threshold_of_false_accepts():
    different = np.linspace(0, 1, 1001)
    same = np.array([0.5, 0.95, 0.995, 1.5])
    assert true_accept_rate(same, different, 0.1) == 0.75
    assert true_accept_rate(same, different, 0.01) == 0.5


def test_the_rank_counts_people_who_look_more_alike():
    gallery = np.eye(3)
    probes = np.array([[1.0, 0.1, 0.0], [1.0, 0.5, 0.6]])
    assert ranks(probes, gallery, np.array([0, 1])).tolist() == [1, 3]
