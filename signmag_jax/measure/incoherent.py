"""What errors cost that follow no sign: flips, and a shift without its growth whose signs are random."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate, Picture, Ratio, Result, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.numbers import with_error
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.models import LanguageModel, fetch
from signmag_jax.perturb import MagnitudeShift, SignFlip

from . import inputs, slopes
from .curvature import WindowLoss, fisher
from .inputs import Windows
from .outlier_flips import check_rate
from .pools import ALL
from .setup import Options, prepare
from .shift_parts import REST, ShiftPart
from .stretch import Movable

RATE = 0.01
PASSES = 4
"""Forward passes for each window: a backward pass counts as two, and attention is computed again for it."""


@dataclass(frozen=True, eq=False)
class IncoherentErrors(Result):
    """Result of `incoherent_errors`, by kind of matrix and of "all".

    Args:
      rate: of the flips.
      flips: their cost in second order, nats per token.
      scattered: that of the shift without its growth, with a random sign of every change.
      ratio: flips over these, windows paired.
      provenance: model, text, seed, versions, device.
    """

    rate: float
    flips: dict[str, Estimate]
    scattered: dict[str, Estimate]
    ratio: dict[str, Ratio]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """The ratio and both costs of every kind of matrix."""
        lines = {}
        for name, ratio in self.ratio.items():
            each = (one[name] for one in (self.flips, self.scattered))
            costs = " over ".join(with_error(float(one.value), float(one.standard_error)) for one in each)
            lines[f"{name}, rate {self.rate:g}: flips over scattered changes"] = f"{ratio}; {costs} nat/token"
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One row for each kind of matrix."""
        return [
            {"matrix": name, **self.flips[name].cells("flips"), **self.scattered[name].cells("scattered")}
            for name in self.ratio
        ]

    def picture(self) -> Picture:
        """The ratios that are resolved."""
        values = {
            name: (one.interval.estimate.value, one.interval.low, one.interval.high)
            for name, one in self.ratio.items()
            if one.interval
        }
        title = f"Flips of rate {self.rate:g} over scattered changes of equal norm, second order"
        return Picture("bars", {"values": values, "y": "ratio of costs", "title": title})


@counting
def incoherent_errors(
    model: LanguageModel, evaluation: Windows, *, rate: float = RATE, **options: Unpack[Options]
) -> IncoherentErrors:
    """What flips cost over a shift that follows no sign, in second order: `½ Σ_i G_ii E e_i²` of either.

    Flips, and the shift of equal norm in every matrix divided by its growth 1 + δb, every change with a
    random sign. In a wide block of Gaussian weights only such energies count. G is the diagonal of the
    Gauss–Newton matrix; first order, the rest of the Hessian and all beyond second order are left out: draws
    of `all_columns` have them, and few weights decide those.

    Args:
      model: from `models.load`.
      evaluation: at least 2 windows, one backward pass each.
      rate: of the flips, in (0, 0.5].
      options: as in `Options`.

    Raises:
      InvalidInput: for too few windows, a rate outside, unknown layers or matrices, or gradients that are not
        finite.
    """
    own = {"experiment": "incoherent errors", "rate": check_rate(rate)}
    setup = prepare(model, None, evaluation, own, batch=1, fewest=2, **options)
    movable = Movable.of(model, setup.matrices, setup.layers)
    root = keys.fold(keys.root(setup.seed), "incoherent errors")
    tasks = [
        functools.partial(_window, WindowLoss.of(model, window), movable, rate, keys.fold(root, index))
        for index, window in enumerate(setup.evaluation)
    ]
    rows = setup.sweep(tasks, entries=2 * len(setup.matrices))
    for row in rows:
        inputs.check_finite(row[None], "gradients of the loss")
    # windows, errors, matrices -> errors, windows
    costs = np.stack(rows).reshape(len(rows), 2, len(setup.matrices))
    tables = {name: costs[..., index].T for index, name in enumerate(setup.matrices)}
    tables[ALL] = costs.sum(axis=2).T
    what = f"Gauss–Newton diagonal, over {len(rows)} windows"
    flips, scattered = (
        {name: slopes.mean(table[arm][None], "nat/token", what) for name, table in tables.items()}
        for arm in (0, 1)
    )
    ratio = {name: paired_ratio(*(arm[None] for arm in table)) for name, table in tables.items()}
    return IncoherentErrors(rate, flips, scattered, ratio, setup.origin())


def _window(loss: WindowLoss, movable: Movable, rate: float, key: PRNGKeyArray) -> np.ndarray:
    size = jnp.asarray(MagnitudeShift.matching(SignFlip(rate)).size, jnp.float32)
    return fetch(_costs(loss, movable, size, key)).astype(np.float64).ravel()


@jit
def _costs(
    loss: WindowLoss, movable: Movable, size: Float[Array, ""], key: PRNGKeyArray
) -> Float[Array, "2 matrices"]:
    """One window's responses to both errors, by matrix: one sample of G's diagonal for every weight."""
    root = fisher(loss, movable.names, key)

    def both(name: str) -> Float[Array, " errors"]:
        def one(layer: tuple[Array, Array]) -> Array:
            w, slope = layer
            # Nothing is drawn: of a random sign only the square counts.
            change = ShiftPart.of(REST, size.astype(w.dtype)).apply(key, w) - w
            wide = [x.astype(size.dtype) for x in (size.astype(w.dtype) * w, change)]
            return jnp.stack([jnp.sum((slope.astype(size.dtype) * x) ** 2) for x in wide]) / 2

        costs = jax.lax.map(one, (loss.params["blocks"][name], root[name]))
        # Layers that take no part weigh 0.
        return movable.layers.astype(costs.dtype) @ costs

    return jnp.stack([both(name) for name in movable.names], axis=1)
