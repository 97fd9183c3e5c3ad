"""A million rates through two laws: jitted and vmapped here, against vectorised NumPy and against mpmath.

`transverse_ratio` and the six-layer depth recursion, plain and residual, in float64. NumPy computes the same
stable forms; it and this package take turns, so that what else the machine does hits both. mpmath computes
the textbook kernel at 50 digits for fewer rates; its time is extrapolated in proportion, and its values are
what the errors of the other two are measured against.

    python benchmarks/theory_laws.py --rounds 7
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

from signmag_jax import theory

RATES = 1_000_000
MPMATH_RATES = 200
LAYERS = 6
DIGITS = 50
LAWS = ("transverse_ratio", "plain", "residual")


def main() -> None:
    """Alternate the implementations and print medians as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rates", type=int, default=RATES)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(json.dumps({law: compare(law, options.rounds, options.rates) for law in LAWS}, indent=2))


def compare(law: str, rounds: int, size: int) -> dict[str, Any]:
    """Medians of interleaved rounds, after one that compiles; each round has rates of its own."""
    traced: list[int] = []
    runs = {"ours": ours(law, traced), "numpy": NUMPY[law]}
    began = time.perf_counter()
    runs["ours"](rates(size, 0))
    first = time.perf_counter() - began
    runs["numpy"](rates(size, 0))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(1, rounds + 1):
        these = rates(size, turn)
        for name, run in runs.items():
            began = time.perf_counter()
            run(these)
            seconds[name].append(time.perf_counter() - began)
    few = rates(MPMATH_RATES, rounds)
    began = time.perf_counter()
    with mp.workdps(DIGITS):
        exact = np.array([MPMATH[law](mp.mpf(float(rate))) for rate in few], dtype=float)
    reference = (time.perf_counter() - began) * size / few.size
    if len(traced) != 1:
        raise RuntimeError(f"{law} was traced {len(traced)} times for new values of one shape")
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "rates": size,
        "rounds": rounds,
        "threads": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "seconds": medians,
        "seconds_of_the_first_call": first,
        "times_traced": len(traced),
        "mpmath_seconds_extrapolated": reference,
        "mpmath_rates": few.size,
        "speedup_over_numpy_median_of_pairs": statistics.median(
            b / a for a, b in zip(seconds["ours"], seconds["numpy"], strict=True)
        ),
        "speedup_over_mpmath_extrapolated": reference / medians["ours"],
        # The traced shape has changed, which is why this comes last.
        "largest_relative_error": {
            name: float(np.max(np.abs(np.asarray(run(few)).reshape(exact.shape) / exact - 1)))
            for name, run in runs.items()
        },
    }


def rates(size: int, seed: int) -> np.ndarray:
    """Rates over all of (0, 1/2], even in the logarithm."""
    return 10.0 ** np.random.default_rng(seed).uniform(-12, math.log10(0.5), size)


def ours(law: str, traced: list[int]) -> Callable[[np.ndarray], jax.Array]:
    """This package, in one jitted and vmapped call; a trace leaves its mark."""

    def one(rate: jax.Array) -> Any:
        if law == "transverse_ratio":
            return theory.transverse_ratio(rate)
        return theory.depth_ratios(rate, LAYERS, residual=law == "residual")

    def marked(these: jax.Array) -> Any:
        traced.append(these.size)
        return jax.vmap(one)(these)

    run = jax.jit(marked)
    return lambda these: jax.block_until_ready(run(jnp.asarray(these)))


def gap(theta: np.ndarray) -> np.ndarray:
    """sin θ − θ cos θ, by its series below 1."""
    square, total = theta**2, np.zeros_like(theta)
    for k in range(11, 0, -1):
        total = total * square + (-1) ** (k + 1) * 2 * k / math.factorial(2 * k + 1)
    return np.where(theta < 1, theta * square * total, np.sin(theta) - theta * np.cos(theta))


Pairs = tuple[tuple[np.ndarray, np.ndarray], ...]


def pairs(p: np.ndarray) -> Pairs:
    """(drift, noise) of the flips and of the shift of equal norm."""
    b = math.sqrt(2 / math.pi)
    return (-2 * p, 4 * p * (1 - p)), (2 * b * np.sqrt(p), 4 * p * (1 - b**2))


def pair_gap(c: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """√v (sin θ − θ cos θ)."""
    return np.sqrt(c**2 + noise) * gap(np.arctan2(np.sqrt(noise), c))


def numpy_ratio(p: np.ndarray) -> np.ndarray:
    """T(flips)/T(shift), T = noise/2 − cg/π − g²/(2π²)."""
    parts = []
    for drift, noise in pairs(p):
        g = pair_gap(1 + drift, noise) / math.pi
        parts.append(noise / 2 - (1 + drift) * g - g**2 / 2)
    return parts[0] / parts[1]


def numpy_plain(p: np.ndarray) -> np.ndarray:
    """sin² of the states, with 1 − q and sin² carried instead of q."""
    columns = []
    for drift, noise in pairs(p):
        c = 1 + drift
        apart, sines = np.zeros_like(p), []
        for _ in range(LAYERS):
            across = noise + c**2 * apart * (2 - apart)
            theta = np.arctan2(np.sqrt(across), c * (1 - apart))
            apart = 2 * np.sin(theta / 2) ** 2 - gap(theta) / math.pi
            sines.append(apart * (2 - apart))
        columns.append(np.stack(sines, axis=-1))
    return columns[0] / columns[1]


def numpy_residual(p: np.ndarray) -> np.ndarray:
    """Energy, alignment and means of the difference of the streams."""
    columns = []
    for drift, noise in pairs(p):
        c, v = 1 + drift, (1 + drift) ** 2 + noise
        b = 1 / math.sqrt(2 * math.pi)
        stretch = (drift * (2 + drift) + noise) / (1 + np.sqrt(v)) * b
        zero = np.zeros_like(p)
        power, energy, along, mean, shifted, across = zero + 1, zero, zero, zero, zero, []
        for _ in range(LAYERS):
            transverse = energy - along**2 / power
            other = power + 2 * along + energy
            sine = transverse / other
            cosine = (power + along) / np.sqrt(power * other)
            apart = sine / (1 + cosine)
            here_drift, here_noise = drift - c * apart, noise + c**2 * sine
            g = pair_gap(1 + here_drift, here_noise) / math.pi
            block_energy, block_along = (here_drift**2 + here_noise) / 2 - g, (here_drift + g) / 2
            along = along + block_along + mean * stretch + shifted * b
            energy = energy + block_energy + 2 * shifted * stretch
            power = power + 0.5 + 2 * mean * b
            mean, shifted = mean + b, shifted + stretch
            across.append(energy - along**2 / power)
        columns.append(np.stack(across, axis=-1))
    return columns[0] / columns[1]


def moments(p: Any) -> list[tuple[Any, Any]]:
    """(c, v) of the flips and of the shift."""
    b, size = mp.sqrt(2 / mp.pi), 2 * mp.sqrt(p)
    return [(1 - 2 * p, mp.mpf(1)), (1 + size * b, 1 + 2 * size * b + size**2)]


def kappa(c: Any, v: Any) -> Any:
    """The textbook kernel."""
    theta = mp.acos(c / mp.sqrt(v))
    return mp.sqrt(v) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi)


def mpmath_ratio(p: Any) -> Any:
    """v/2 − 2κ² of the flips over that of the shift."""
    flip, shift = (v / 2 - 2 * kappa(c, v) ** 2 for c, v in moments(p))
    return flip / shift


def mpmath_chain(p: Any, residual: bool) -> list[Any]:
    """The recursions on cosines and second moments, as the theory states them."""
    columns = []
    for c, v in moments(p):
        q, mean, other_mean, values = mp.mpf(1), mp.mpf(0), mp.mpf(0), []
        power = other = cross = mp.mpf(1)
        b, root = 1 / mp.sqrt(2 * mp.pi), mp.sqrt(v)
        for _ in range(LAYERS):
            if not residual:
                q = 2 * kappa(c * q, v) / root
                values.append(1 - q**2)
                continue
            overlap = kappa(c * cross / mp.sqrt(power * other), v)
            cross += overlap + mean * root * b + other_mean * b
            power, other = power + 0.5 + 2 * mean * b, other + v / 2 + 2 * other_mean * root * b
            mean, other_mean = mean + b, other_mean + root * b
            values.append(other - cross**2 / power)
        columns.append(values)
    return [a / b for a, b in zip(*columns, strict=True)]


NUMPY = {"transverse_ratio": numpy_ratio, "plain": numpy_plain, "residual": numpy_residual}
MPMATH = {
    "transverse_ratio": mpmath_ratio,
    "plain": lambda p: mpmath_chain(p, False),
    "residual": lambda p: mpmath_chain(p, True),
}

if __name__ == "__main__":
    main()
