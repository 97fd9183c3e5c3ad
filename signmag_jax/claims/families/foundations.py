"""Claims that rest on a derivation alone, and those that are true by construction."""

from __future__ import annotations

import math
from collections.abc import Iterator

from signmag_jax import theory
from signmag_jax.claims.claim import Claim
from signmag_jax.claims.levels import Level
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import paper, printed
from signmag_jax.claims.supply import exact
from signmag_jax.perturb import SignFlip

# A correlation away from the ends, where the kernel is neither 0 nor ½.
KERNEL_RATE = 0.2


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Constants, kernel, RMSNorm's derivative, the second layer, and the identity of Exp F."""
    yield Claim(
        name="constants.bussgang",
        claimant="paper",
        source="Theorem 4",
        statement="cos²(w, sign w) of Gaussian weights is 2/π.",
        routes={
            "published": exact(lambda: 2 / math.pi, name="2/π"),
            "predicted": exact(lambda: theory.sign_cosine_squared(), name="c²/v of SignQuantize()"),
        },
        compare=(("published", "predicted"),),
        kind="proof",
        proofs=("bussgang_constant",),
        quotes=("constants.theorem_4_cos2",),
    )
    yield Claim(
        name="kernel.arccos",
        claimant="ours",
        source="Cho and Saul 2009; Theorem 3 rests on it",
        statement="E relu(z) relu(z') is the degree-1 arc-cosine kernel.",
        routes={
            "published": exact(_textbook_kernel, name="Cho and Saul: √v (sin θ + (π − θ) cos θ)/(2π)"),
            "predicted": exact(
                lambda: 0.5 + float(theory.block(SignFlip(KERNEL_RATE)).alignment),
                name="½ + E h(h' − h) of the numeric block",
            ),
        },
        compare=(("published", "predicted"),),
        kind="proof",
        proofs=("arccos_kernel",),
    )
    yield Claim(
        name="rmsnorm.transverse_projection",
        claimant="ours",
        source="RMSNorm, differentiated",
        statement="RMSNorm's derivative is the transverse projection exactly when ε = 0 and the gain is 1.",
        routes={},
        kind="proof",
        proofs=("rmsnorm_derivative",),
    )
    yield Claim(
        name="second_layer.transverse_share",
        claimant="ours",
        source="section 3, W₂",
        statement="A Gaussian second layer of d outputs leaves (d − 1)/m of the hidden transverse energy, "
        "for every d and m.",
        routes={},
        kind="proof",
        proofs=("second_layer",),
        note="Not only for wide layers: this is why W₂ may be integrated out of the simulation.",
    )
    yield _identity()


def _textbook_kernel() -> float:
    import sympy as sp  # SymPy is slow to import, and a dry run needs none

    from signmag_jax.theory.symbolic import energies

    return float(energies.kappa(1 - 2 * sp.Rational(str(KERNEL_RATE)), sp.Integer(1)).evalf(20))


def _identity() -> Claim:
    value = paper()["activation_energy"]["spearman_alpha2_wnorm2_energy"]
    return Claim(
        name="columns.energy_correlation",
        claimant="paper",
        source="section 9.5, Exp F",
        statement="The energy of flips in a column correlates perfectly with α²‖w‖².",
        routes={
            "published": printed(
                float(value), decimals=None, section="9.5, Exp F", what="Spearman correlation"
            )
        },
        kind="identity",
        quotes=("activation_energy.spearman_alpha2_wnorm2_energy",),
        note="The published energy is computed from α²‖w‖² itself: no weight is flipped.",
    )
