"""Perturbations as they are typed on the command line."""

from __future__ import annotations

from typing import Any

import typer

PERTURBATIONS = (
    "flip:0.01, shift:0.2, noise:0.2, sign, ternary:0.5:1.2, ternary:twn, prune:0.5, scale:2, "
    "uniform:4:absmax, lloyd-max:2, or several in turn: flip:0.01+ternary"
)


def parse(text: str) -> Any:
    """One perturbation, or several joined by "+", the first applied first."""
    import functools

    from signmag_jax import perturb

    return functools.reduce(perturb.Compose, map(_one, text.split("+")))


def _one(text: str) -> Any:
    from signmag_jax import perturb

    kind, *rest = text.split(":")
    kinds = {
        "flip": (perturb.SignFlip, 1, 1),
        "shift": (perturb.MagnitudeShift, 1, 1),
        "noise": (perturb.MagnitudeNoise, 1, 1),
        "sign": (perturb.SignQuantize, 0, 0),
        "ternary": (perturb.Ternarize, 0, 2),
        "prune": (perturb.Prune, 1, 1),
        "scale": (perturb.Scale, 1, 1),
        "uniform": (perturb.UniformQuantize, 1, 3),
        "lloyd-max": (perturb.LloydMax, 1, 1),
    }
    if kind not in kinds or not kinds[kind][1] <= len(rest) <= kinds[kind][2]:
        raise typer.BadParameter(f"--perturbation is like {PERTURBATIONS}, not {text!r}")
    return kinds[kind][0](*(_number_or_name(part) for part in rest))


def _number_or_name(text: str) -> int | float | str:
    try:
        # Bits and counts are integers; to everything else 2 and 2.0 are the same.
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text
