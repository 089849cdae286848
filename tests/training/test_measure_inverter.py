"""The table of an inversion, round by round, against answers known beforehand."""

import numpy as np
import pandas as pd
import pytest
import torch

from xfer import losses
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig, Round
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training.measure_inverter import (
    BATCH,
    inversion_table,
    inversions,
    round_changes,
    round_intervals,
    tell_changes,
)

SLIM = {"resolution": 16, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}
COUNT = BATCH + 4
"""Pictures in two parts of different length."""


class Approaching(IdentityEncoder):
    """Every round halves what the one before left, to nothing in the last.

    The second picture of each part alone is ever wrong, by 0.5 everywhere at first.
    """

    def refine(self, image, generator, rounds=None):
        for left in (0.5, 0.25, 0.0):
            wrong = torch.zeros_like(image)
            wrong[1] = left
            yield Round(torch.zeros(len(image), 6, 8), image + wrong)


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    return Instruments(FactorReader(FactorReaderConfig(**SLIM)).eval(), recogniser, "judge", {})


@pytest.fixture(scope="module")
def images():
    return torch.rand(COUNT, 3, 16, 16, generator=torch.manual_seed(1)) - 0.5


@pytest.fixture(scope="module")
def found(judge, images):
    encoder = Approaching(IdentityEncoderConfig(**SLIM, n_styles=6, w_dim=8))
    generator = Generator(GeneratorConfig(16, 8, 8, 1, channel_base=64, channel_max=8))
    return inversions(images, np.arange(COUNT) // 2, encoder, generator, judge)


@pytest.fixture(scope="module")
def table(found):
    return inversion_table(found)


def test_a_round_a_row(table):
    assert table.index.tolist() == [1, 2, 3] and table.index.name == "round"


def test_errors_of_pixels_are_means_over_all_pictures(table):
    share = 2 / COUNT  # one wrong picture in each of the two parts
    assert table["l2"].tolist() == pytest.approx([0.25 * share, 0.0625 * share, 0.0], rel=1e-5)
    wrong = 10 * np.log10(4 / 0.25)
    assert table["psnr_db"][1] == pytest.approx(share * wrong + (1 - share) * 106.02, rel=1e-3)


def test_perceptual_distance_weighs_every_picture_alike(table, judge, images):
    look, wrong = judge.look(), images.clone()
    wrong[[1, BATCH + 1]] += 0.5
    with torch.no_grad():
        whole = losses.feature_distance(look(wrong), look(images))
    assert table["perceptual"][1] == pytest.approx(float(whole), rel=1e-4)


def test_what_is_found_again_has_no_error_left(table):
    last = table.loc[3]
    assert last[["l2", "perceptual", "yaw_deg_error", "landmark_error"]].tolist() == [0] * 4
    assert last["cosine"] == pytest.approx(1, rel=1e-5)


def test_every_picture_has_its_own_row(found):
    assert len(found) == 3 * COUNT and set(found["person"]) == set(range(COUNT // 2))
    wrong = found[(found["round"] == 1) & (found["l2"] > 1e-9)]
    assert wrong["person"].tolist() == [0, BATCH // 2]
    assert wrong["l2"].tolist() == pytest.approx([0.25, 0.25], rel=1e-5)


def test_intervals_are_around_the_means_of_the_table(found, table):
    for row in round_intervals(found).itertuples():
        assert row.value == pytest.approx(table.loc[row.round, row.metric])
        assert row.low <= row.value <= row.high


def test_changes_are_from_round_to_round(found, table):
    changes = round_changes(found).set_index(["round", "metric"])["value"]
    assert sorted(set(changes.index.get_level_values("round"))) == [2, 3]
    assert changes[2, "l2"] == pytest.approx(table["l2"][2] - table["l2"][1])
    assert changes[3, "psnr_db"] == pytest.approx(table["psnr_db"][3] - table["psnr_db"][2])


def changed(**ends):
    rows = [(number, "l2", 0.0, low, high) for number, (low, high) in enumerate(ends.values(), 2)]
    return pd.DataFrame(rows, columns=["round", "metric", "value", "low", "high"])


def test_what_falls_and_what_does_not_is_told_by_the_intervals():
    falls, rises, neither = (-2.0, -1.0), (1.0, 2.0), (-1.0, 1.0)
    assert tell_changes(changed(a=falls, b=falls), "l2") == "falls in every round after the first"
    told = tell_changes(changed(a=falls, b=falls, c=neither, d=rises), "l2")
    assert told == "falls in rounds 2, 3; rises in round 5; hardly changes in round 4"
    assert tell_changes(changed(a=neither), "l2") == "hardly changes in round 2"
