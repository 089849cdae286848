"""Distances between faces whose answer is plain."""

import numpy as np
import pytest

from xfer.errors import BadValue
from xfer.metrics.transfer import (
    angle_errors,
    correlations,
    cosines,
    expression_errors,
    jitter,
    landmark_errors,
    psnr,
    ssim,
    threshold_among,
)


def noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape)


def test_angles_are_compared_the_short_way_round():
    found, truth = np.array([[10.0, 179.0]]), np.array([[4.0, -179.0]])
    assert angle_errors(found, truth).tolist() == [[6.0, 2.0]]


def test_correlation_is_one_for_a_scaled_copy_and_zero_for_a_constant():
    truth = noise(50, 3)
    found = np.stack([3 * truth[:, 0] + 1, -truth[:, 1], np.zeros(50)], axis=1)
    assert correlations(found, truth) == pytest.approx([1, -1, 0])
    with pytest.raises(BadValue, match="two pictures at least; got 1"):
        correlations(found[:1], truth[:1])


def test_expression_errors_are_means_over_factors():
    assert expression_errors(np.array([[0.1, 0.5]]), np.array([[0.0, 0.2]])) == pytest.approx([0.2])


def test_landmarks_are_measured_in_mean_eye_distances():
    truth = np.zeros((2, 68, 2))
    truth[:, 45, 0] = [1.0, 3.0]
    found = truth + np.array([0.6, 0.8])
    assert landmark_errors(found, truth) == pytest.approx([0.5, 0.5])


def test_psnr_of_a_known_error_whole_and_on_a_mask():
    truth = np.zeros((1, 3, 16, 16))
    drawn = truth.copy()
    drawn[:, :, :8] = 0.2
    mask = np.zeros((1, 16, 16), bool)
    mask[:, :4] = True
    assert psnr(drawn, truth, mask) == pytest.approx([20.0])
    assert psnr(drawn, truth) == pytest.approx([20 + 10 * np.log10(2)])
    assert psnr(drawn, truth, ~mask)[0] > 20
    assert psnr(truth, truth)[0] > 100


def test_ssim_is_one_for_equal_pictures_and_counts_the_mask_only():
    truth = noise(2, 3, 32, 32)
    drawn = truth.copy()
    drawn[:, :, 16:] = noise(2, 3, 16, 32)[:, :, ::-1]
    upper = np.zeros((2, 32, 32), bool)
    upper[:, :8] = True
    assert ssim(truth, truth) == pytest.approx([1, 1])
    assert ssim(drawn, truth, upper) == pytest.approx([1, 1])
    assert (ssim(drawn, truth) < 0.9).all()
    with pytest.raises(BadValue, match="picture 1 has an empty mask"):
        upper[1] = False
        ssim(drawn, truth, upper)


def test_cosines_do_not_ask_for_unit_vectors():
    assert cosines(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 0.0], [1.0, -1.0]])) == (
        pytest.approx([1.0, 0.0])
    )


def test_the_threshold_is_that_of_pairs_of_two_people():
    embeddings = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.0, 1.0]])
    people = np.array([0, 0, 1, 1])
    assert threshold_among(embeddings, people, 0.01) == pytest.approx(0.6)
    with pytest.raises(BadValue, match="two people"):
        threshold_among(embeddings[:2], people[:2])


def test_even_motion_has_no_jitter_and_a_zigzag_has_twice_its_height():
    even = np.linspace(0, 5, 20)[:, None] * np.ones(3)
    zigzag = np.where(np.arange(20) % 2, 0.5, -0.5)
    assert jitter(even) == pytest.approx(0)
    assert jitter(zigzag) == pytest.approx(2.0)
    assert jitter(even[:2]) == 0
