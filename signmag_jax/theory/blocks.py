"""Blocks as networks have them: gated, and behind RMSNorm or LayerNorm."""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import Real, law

from .activations import Activation, PairLaw, find_activation
from .arguments import RATE, SCALE, WEIGHTS, check_scale, resolved
from .energies import activated_block
from .homogeneous import kept
from .scaled import Scaled, flips, shift
from .second_moments import SecondMoments

GATED = ("no", "both", "gate", "up")
NORMS = ("rms", "layer")


@dataclass(frozen=True)
class GatedPair:
    """φ(z_g)·z_u of independent pre-activations, an error in both, in z_g ("gate") or in z_u ("up")."""

    inner: PairLaw
    where: str

    @property
    def degree(self) -> int:
        """The degree of φ, and one for z_u."""
        return self.inner.degree + 1

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        """E hh' = E φφ'·c and E h'² = E φ'²·v: T = v·T_φ + (E φφ')²/E φ²·noise, without cancellation."""
        # The factor without an error is kept in the other's unit, or their moments could not be added.
        whole = Scaled(jnp.ones_like(moments.c), moments.unit, 0 * moments.drift, 0 * moments.noise)
        gate = self.inner(whole if self.where == "up" else moments, scale)
        up = whole if self.where == "gate" else moments
        along = (gate.alignment * up.c, gate.signal * up.drift)
        alignment = kept(along[0] + along[1], *along)
        transverse = up.v * gate.transverse + gate.overlap**2 / gate.signal * up.noise
        return SecondMoments(
            # A sum of squares: E h'² + E h² − 2E hh' would cancel at small errors.
            energy=transverse + alignment**2 / gate.signal,
            alignment=alignment,
            transverse=transverse,
            signal=gate.signal,
            perturbed=gate.perturbed * up.v,
            overlap=gate.overlap * up.c,
            # z_u has mean 0 and is independent of the gate: so the product has none, and LayerNorm acts on it
            # as RMSNorm.
            mean=0 * gate.mean,
            mean_shift=0 * gate.mean_shift,
        )


@dataclass(frozen=True)
class Centred:
    """h less its mean over units, which is what LayerNorm normalises."""

    inner: PairLaw

    @property
    def degree(self) -> int:
        """The degree of h."""
        return self.inner.degree

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        """The moments of h less its mean, as from `without_means`."""
        return without_means(self.inner(moments, scale), moments.unit)


def without_means(pair: SecondMoments, unit: Array) -> SecondMoments:
    """T less the part that points along the mean: (E δ − E hδ·m/E h²)²/(1 − m²/E h²), m = E h."""
    m, rise = pair.mean, pair.mean_shift
    # The constant vector's own part across h has the square 1 − m²/E h²; `apart` is δ's component along it.
    apart = rise - pair.alignment * m / pair.signal
    parts = pair.transverse, apart**2 / (1 - m**2 / pair.signal)
    changed = m + unit * rise
    return SecondMoments(
        energy=kept(pair.energy - rise**2, pair.energy, rise**2),
        alignment=kept(pair.alignment - m * rise, pair.alignment, m * rise),
        transverse=kept(parts[0] - parts[1], *parts),
        signal=pair.signal - m**2,
        perturbed=pair.perturbed - changed**2,
        overlap=pair.overlap - m * changed,
        mean=0 * m,
        mean_shift=0 * rise,
    )


def gated(activation: str | Activation = "relu", perturbed: str = "both") -> Activation:
    """h = φ(z_g)·z_u as an activation of the pair: ReGLU, SwiGLU ("silu"), GeGLU ("gelu").

    It goes where an activation goes: `block`, `chain`, `depth_ratios` then perturb W_g and W_u alike.

    Args:
      activation: φ.
      perturbed: "both" matrices, the "gate"'s, or the other, "up".

    Raises:
      InvalidInput: for an unknown activation or matrix.
    """
    if perturbed not in GATED[1:]:
        raise invalid(f"perturbed in {GATED[1:]}", perturbed, "choose one of these")
    chosen = find_activation(activation)
    return replace(chosen, name=f"gated({chosen.name}, {perturbed})", pair=GatedPair(chosen.pair, perturbed))


def centred(activation: str | Activation = "relu") -> Activation:
    """h less its mean, which turns a law behind RMSNorm into that behind LayerNorm.

    Args:
      activation: what gives h.
    """
    chosen = find_activation(activation)
    return replace(chosen, name=f"centred({chosen.name})", pair=Centred(chosen.pair))


def block_ratio(
    rate: ArrayLike,
    activation: str | Activation = "relu",
    gated: str = "no",
    norm: str = "rms",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> Real:
    """T(flips of rate p)/T(magnitude shift of equal Frobenius norm) of a gated block, or behind LayerNorm.

    Gated, h = φ(z_g)z_u, E hh' = κ_φ(c_g, v_g)·c_u and E h'² = E φ(z')²·v_u; LayerNorm takes the means away,
    T = vV − C²/V with V = Var h and C = Cov(h, h'). Ungated ReLU behind RMSNorm is `transverse_ratio`.

    Args:
      rate: flip rate in (0, 1/2], scalar or array.
      activation: φ, a name in `ACTIVATIONS` or an `Activation`.
      gated: "no", or which of the two matrices is perturbed: "both", "gate" or "up".
      norm: "rms" or "layer".
      scale: standard deviation of the clean pre-activations. For the ReLU family only a factor.
      weights: law of the weights, as in `perturb.find_weights`: a name, b = E|w|/σ or `perturb.Weights`.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside.

    Raises:
      InvalidInput: for a concrete rate outside (0, 1/2], or an unknown option.
    """
    for name, value, known in (("gated", gated, GATED), ("norm", norm, NORMS)):
        if value not in known:
            raise invalid(f"{name} in {known}", value, "choose one of these")
    check_scale(scale)
    chosen = find_activation(activation).resolved(scale)
    if gated != "no":
        chosen = replace(chosen, name=gated, pair=GatedPair(chosen.pair, gated))
    if norm == "layer":
        chosen = centred(chosen)
    return resolved("block_ratio", _ratio(rate, chosen, scale, weights))


@law(static=("activation",), domain={"rate": RATE, "scale": SCALE}, read=WEIGHTS)
def _ratio(rate: ArrayLike, activation: Activation, scale: ArrayLike, weights: Any) -> Array:
    size = jnp.asarray(scale)
    flip, shifted = (
        activated_block(moments, activation, size).pair for moments in (flips(rate), shift(rate, weights))
    )
    # Both are in units of √rate, and T/rate has a limit: as they stand the energies would underflow together.
    return flip.transverse / shifted.transverse
