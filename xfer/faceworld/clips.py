"""Clips: one person in one scene who talks, listens and looks around, 25 frames a second.

A clip is put together from events drawn from its own seed: glances to new directions, phrases made
of syllables with rests between them, blinks, nods, raised brows. Every event eases in and out, so
that no factor jumps; only lids and glances are quick, as in life.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from xfer.errors import expect
from xfer.faceworld.factors import (
    MOTION,
    Factors,
    Group,
    draw_identity,
    draw_scene,
    seeded,
)

FPS = 25

Track = Float[Tensor, " frames"]
"""One factor over time."""


def draw_clip(frames: int, seed: int, clip: int = 0, preset: str = "wild") -> Factors:
    """Factors of every frame of one clip; a longer clip begins like a shorter one.

    Args:
        clip: Its number: another number, another person, scene and motion.
        preset: Of the scene, 'studio' or 'wild'.
    """
    expect(frames >= 1, f"a clip has at least one frame; got {frames}")
    return Factors(
        draw_identity(1, seeded(seed, clip, 0)).repeat(frames),
        draw_clip_motion(frames, seeded(seed, clip, 1)),
        draw_scene(1, seeded(seed, clip, 2), preset).repeat(frames),
    )


def draw_clip_motion(frames: int, rng: Generator) -> Group:
    """Motion of a talking, looking-around head."""
    own = _split(rng, 8)
    yaw, pitch, roll = _head(frames, own[0])
    talking = _talking(frames, own[1])
    jaw, pucker, stretch = _speech(frames, talking, own[2])
    mood, frown = _mood(frames, own[3])
    brow, tilt = _brows(frames, talking, own[4])
    gaze_x, gaze_y = _gaze(frames, yaw, pitch, own[5])
    lids = _blinks(frames, own[6])
    tracks = {
        "yaw_deg": yaw,
        "pitch_deg": pitch + 1.5 * jaw * talking + _nods(frames, own[7]),
        "roll_deg": roll,
        "jaw": jaw,
        "smile": mood + stretch,
        "pucker": pucker,
        "brow": brow,
        "brow_tilt": tilt,
        "frown": frown,
        "blink_left": lids,
        "blink_right": lids,
        "gaze_x": gaze_x,
        "gaze_y": gaze_y,
    }
    columns = [tracks[factor.name].clamp(factor.low, factor.high) for factor in MOTION]
    return Group("motion", torch.stack(columns, 1))


def _split(rng: Generator, count: int) -> list[Generator]:
    """Generators for single tracks: no event depends on how many of another kind there were."""
    return [seeded(int(n)) for n in torch.randint(2**31, (count,), generator=rng)]


def _uniform(rng: Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand(1, generator=rng).item()


def _chance(rng: Generator, probability: float) -> bool:
    return torch.rand(1, generator=rng).item() < probability


def _ease(t: Tensor) -> Tensor:
    """0 to 1 with speed and acceleration 0 at both ends (minimum jerk)."""
    t = t.clamp(0, 1)
    return t * t * t * (10 + t * (6 * t - 15))


def _glide(
    frames: int,
    rng: Generator,
    target: Callable[[Generator], float],
    hold: tuple[float, float],
    move: tuple[float, float],
) -> Track:
    """Stay at a target for a while, ease over to the next.

    Args:
        target: Draws a value.
        hold, move: Shortest and longest time of staying and of moving, seconds.
    """
    clock = torch.arange(frames) / FPS
    value = target(rng)
    track, now = torch.full((frames,), value), _uniform(rng, 0, hold[1])
    while now < frames / FPS:
        following, lasting = target(rng), _uniform(rng, *move)
        track = track + (following - value) * _ease((clock - now) / lasting)
        value, now = following, now + lasting + _uniform(rng, *hold)
    return track


def _pulse(frames: int, start: float, rise: float, fall: float) -> Track:
    """Ease up to 1 and back down to 0; times in seconds."""
    clock = torch.arange(frames) / FPS - start
    return _ease(clock / rise) * (1 - _ease((clock - rise) / fall))


def _head(frames: int, rng: Generator) -> tuple[Track, Track, Track]:
    """Yaw, pitch and roll: glances, each with a small tilt, over a slow sway."""
    normal = lambda spread: lambda g: spread * torch.randn(1, generator=g).clamp(-2, 2).item()
    turns, dips, tilts, *sways = _split(rng, 6)
    yaw = _glide(frames, turns, normal(14), (0.4, 2.5), (0.4, 1.0))
    pitch = _glide(frames, dips, normal(5), (0.5, 2.5), (0.4, 0.9))
    roll = _glide(frames, tilts, normal(4), (0.6, 3.0), (0.5, 1.2))
    angles = zip((yaw, pitch, roll), sways, strict=True)
    return tuple(track + _sway(frames, sway) for track, sway in angles)


def _sway(frames: int, rng: Generator) -> Track:
    """About a degree, never quite still."""
    clock = torch.arange(frames) / FPS
    waves = [(_uniform(rng, 0.15, 0.7), _uniform(rng, 0, 2 * math.pi)) for _ in range(3)]
    return sum(0.4 * torch.sin(2 * math.pi * rate * clock + phase) for rate, phase in waves)


def _nods(frames: int, rng: Generator) -> Track:
    """Now and then two dips of the head."""
    track, now = torch.zeros(frames), _uniform(rng, 1, 6)
    while now < frames / FPS:
        size, beat = _uniform(rng, 3, 8), _uniform(rng, 0.22, 0.32)
        for i in range(2):
            start = now + 2 * i * beat
            track = track - size * (1 - 0.4 * i) * _pulse(frames, start, beat, beat)
        now += _uniform(rng, 3, 9)
    return track


def _talking(frames: int, rng: Generator) -> Track:
    """1 in a phrase, 0 at rest."""
    track, now = torch.zeros(frames), _uniform(rng, -1.5, 0.8)
    while now < frames / FPS:
        phrase = _uniform(rng, 1.0, 3.5)
        clock = torch.arange(frames) / FPS - now
        track = track + _ease(clock / 0.15) * (1 - _ease((clock - phrase) / 0.2))
        now += phrase + _uniform(rng, 0.5, 2.0)
    return track.clamp(0, 1)


def _speech(frames: int, talking: Track, rng: Generator) -> tuple[Track, Track, Track]:
    """Jaw, pucker and stretch of the mouth: four to six syllables a second while talking."""
    jaw, pucker, stretch = (torch.zeros(frames) for _ in range(3))
    now = 0.0
    while now < frames / FPS:
        beat = _uniform(rng, 0.16, 0.26)
        pulse = _pulse(frames, now, 0.5 * beat, 0.6 * beat)
        jaw = jaw + _uniform(rng, 0.12, 0.75) * pulse
        round_vowel, broad_vowel = _chance(rng, 0.25), _chance(rng, 0.3)
        wide = _pulse(frames, now - 0.3 * beat, 0.8 * beat, 0.9 * beat)
        pucker = pucker + round_vowel * _uniform(rng, 0.3, 0.9) * wide
        stretch = stretch + (broad_vowel and not round_vowel) * _uniform(rng, 0.1, 0.35) * wide
        now += beat
    return tuple((track * talking).clamp(0, 1) for track in (jaw, pucker, stretch))


def _mood(frames: int, rng: Generator) -> tuple[Track, Track]:
    """Smile and frown that last for seconds."""
    smile = lambda g: _uniform(g, -0.5, 0.9) if _chance(g, 0.6) else 0.0
    frown = lambda g: _uniform(g, 0.3, 1) if _chance(g, 0.25) else 0.0
    smiles, frowns = _split(rng, 2)
    return (
        _glide(frames, smiles, smile, (1.0, 4.0), (0.4, 1.0)),
        _glide(frames, frowns, frown, (1.0, 4.0), (0.3, 0.8)),
    )


def _brows(frames: int, talking: Track, rng: Generator) -> tuple[Track, Track]:
    """Brows lifted for stressed words, lowered for thoughts, seldom one higher than the other."""
    level = lambda g: _uniform(g, -0.5, 0.6) if _chance(g, 0.4) else 0.0
    tilt = lambda g: _uniform(g, -0.8, 0.8) if _chance(g, 0.15) else 0.0
    levels, tilts, rng = _split(rng, 3)
    brow = _glide(frames, levels, level, (0.8, 3.0), (0.25, 0.6))
    now = _uniform(rng, 0, 2)
    while now < frames / FPS:
        brow = brow + _uniform(rng, 0.3, 0.9) * _pulse(frames, now, 0.2, 0.35) * talking
        now += _uniform(rng, 0.8, 3.0)
    return brow, _glide(frames, tilts, tilt, (1.0, 4.0), (0.3, 0.6))


def _gaze(frames: int, yaw: Track, pitch: Track, rng: Generator) -> tuple[Track, Track]:
    """Quick glances; the eyes make up for part of the head's turn, to stay with the camera."""
    across, up = _split(rng, 2)
    x = _glide(frames, across, lambda g: _uniform(g, -0.7, 0.7), (0.3, 1.6), (0.06, 0.1))
    y = _glide(frames, up, lambda g: _uniform(g, -0.5, 0.5), (0.5, 2.0), (0.06, 0.1))
    return x - 0.5 * yaw / 26, y - 0.5 * pitch / 18


def _blinks(frames: int, rng: Generator) -> Track:
    """Both lids: every two to six seconds, sometimes twice."""
    track, now = torch.zeros(frames), _uniform(rng, 0.2, 3)
    while now < frames / FPS:
        track = torch.maximum(track, _pulse(frames, now, 0.10, 0.20))
        now += 0.35 if _chance(rng, 0.12) else _uniform(rng, 1.5, 5.5)
    return track
