"""Smoothing over time: still faces stand still, even motion is kept, nothing crosses a break."""

import numpy as np

from xfer.media import smoothing
from xfer.media.smoothing import LandmarkFilter, jitter, lag, segments, smooth

TIMES = np.arange(100) / 25.0


def track(x):
    """Landmarks of a face 120 pixels wide whose place is x in both coordinates."""
    shape = np.stack([np.linspace(0, 120, 68), np.linspace(0, 60, 68)], 1)
    return (shape + np.asarray(x)[:, None, None]).astype(np.float32)


def one_piece(n=100):
    return np.zeros(n, np.int64)


def noisy(seed=0, sigma=1.0):
    rng = np.random.default_rng(seed)
    return track(np.zeros(100)) + rng.normal(0, sigma, (100, 68, 2)).astype(np.float32)


def test_noise_falls_as_the_number_of_neighbours_promises():
    points = smooth(noisy(), TIMES, one_piece(), seconds=0.12)
    # A Gaussian of standard deviation s frames averages 2 sqrt(pi) s values.
    expected = (2 * np.sqrt(np.pi) * 0.12 * 25) ** -0.5
    assert abs((points - track(np.zeros(100)))[20:80].std() / expected - 1) < 0.05


def test_even_motion_is_kept_and_has_no_jitter():
    line = track(np.linspace(0, 50, 100))
    assert np.abs(smooth(line, TIMES, one_piece(), 0.12)[12:-12] - line[12:-12]).max() < 1e-3
    assert jitter(line) < 1e-4 < 1 < jitter(noisy())
    assert jitter(line[:2]) == 0


def test_uneven_times_are_weighted_by_their_distance():
    times = np.array([0.0, 0.01, 1.0])
    x = np.array([0.0, 1.0, 100.0])
    result = smooth(track(x), times, one_piece(3), 0.05)[:, 0, 0]
    w = np.exp(-0.5 * 0.2**2)
    np.testing.assert_allclose(result, [w / (1 + w), 1 / (1 + w), 100], atol=1e-4)


def test_nothing_is_smoothed_across_a_break_and_zero_changes_nothing():
    jump = np.where(np.arange(100) < 50, 0.0, 500.0)
    pieces = segments(TIMES, (np.arange(100) >= 50).astype(int))
    result = smooth(track(jump), TIMES, pieces, 0.2)
    assert np.abs(result - track(jump)).max() < 1e-3
    points = noisy()
    assert np.array_equal(smooth(points, TIMES, one_piece(), 0), points)


def test_long_tracks_are_smoothed_in_blocks_and_to_the_same_bits(monkeypatch):
    whole = smooth(noisy(), TIMES, one_piece(), 0.12)
    monkeypatch.setattr(smoothing, "BLOCK", 7)
    assert np.array_equal(smooth(noisy(), TIMES, one_piece(), 0.12), whole)


def test_a_gap_begins_a_new_piece():
    times = np.array([0, 0.04, 0.08, 2.0, 2.04])
    assert segments(times, np.zeros(5, int)).tolist() == [0, 0, 0, 1, 1]


def test_the_filter_for_frames_as_they_come_is_still_at_rest_and_quick_in_motion():
    still = LandmarkFilter()
    points = np.stack([still(p, t) for p, t in zip(noisy(), TIMES, strict=True)])
    assert jitter(points[25:]) < 0.3 * jitter(noisy()[25:])
    moving, speed = LandmarkFilter(), 5.0
    line = track(speed * np.arange(100))
    followed = np.stack([moving(p, t) for p, t in zip(line, TIMES, strict=True)])
    lag_frames = (line - followed)[50:].mean() / speed
    assert 0 < lag_frames < 1.5


def test_the_filter_starts_anew_after_a_gap():
    keep = LandmarkFilter()
    keep(track([0.0])[0], 0.0)
    assert np.array_equal(keep(track([90.0])[0], 3.0), track([90.0])[0])
    keep.reset()
    assert np.array_equal(keep(track([20.0])[0], 3.04), track([20.0])[0])


def swaying(delay=0.0):
    """A head that goes to and fro by 20 pixels, every second and a half."""
    return track(20 * np.sin(2 * np.pi * (TIMES - delay) / 1.5))


def test_lag_is_the_delay_of_a_delayed_motion():
    assert abs(lag(swaying(0.03), swaying(), TIMES) - 0.03) < 0.002
    assert abs(lag(swaying(), swaying(), TIMES)) < 1e-6


def test_smoothing_over_the_whole_clip_has_no_lag_and_the_filter_little():
    rng = np.random.default_rng(0)
    seen = swaying() + rng.normal(0, 1, (100, 68, 2)).astype(np.float32)
    whole = smooth(seen, TIMES, one_piece(), 0.12)
    follow = LandmarkFilter()
    live = np.stack([follow(points, time) for points, time in zip(seen, TIMES, strict=True)])
    assert abs(lag(whole, swaying(), TIMES)) < 0.003
    assert 0 <= lag(live, swaying(), TIMES) < 0.08
    assert jitter(whole) < 0.3 * jitter(seen) and jitter(live) < 0.9 * jitter(seen)
