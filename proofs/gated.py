"""Gated ReLU blocks and LayerNorm: their energies, and at small rates the constant of Theorem 3.

h = relu(z_g) z_u, the two pre-activations independent, each with its own moments c and v. Given the gates,
h h' has the mean relu(z_g) relu(z_g')·E z_u z_u'; over the gates it is that of the arc-cosine kernel.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Equal, Using, above
from signmag_jax.theory.symbolic.blocks import centred_transverse, gated_root_coefficient, gated_transverse
from signmag_jax.theory.symbolic.gaussian import angle
from signmag_jax.theory.symbolic.perturbations import Pair, magnitude_shift, sign_flip
from signmag_jax.theory.symbolic.symbols import growth, magnitude, overlap, root_rate
from signmag_jax.theory.symbolic.theorem_3 import transverse_ratio_limit, transverse_ratio_root_coefficient

TITLE = "Gated blocks and LayerNorm"

s, b, c, v = root_rate, magnitude, overlap, growth
c_up, v_up = sp.Symbol("c_u", real=True), sp.Symbol("v_u", positive=True)
WHOLE = Pair(sp.Integer(1), sp.Integer(1))


def prove(proof: Proof) -> None:
    _energies(proof)
    proof.suppose("rates", above(1 / sp.sqrt(2), s))
    proof.suppose("magnitudes that are not all equal", above(1, b))
    angles, pairs = _angles(proof), (sign_flip(s**2), magnitude_shift(2 * s, b))
    energies = {
        "both": [gated_transverse(pair, pair) for pair in pairs],
        "gate": [gated_transverse(pair, WHOLE) for pair in pairs],
        "up": [gated_transverse(WHOLE, pair) for pair in pairs],
    }
    slopes = {where: gated_root_coefficient(where, b) for where in energies}
    # LayerNorm's is that of RMSNorm.
    energies["LayerNorm"] = [centred_transverse(*pair) for pair in pairs]
    slopes["LayerNorm"] = transverse_ratio_root_coefficient(b)
    for name, (flip, shift) in energies.items():
        chain = proof.start(f"A(s²), {name}", flip / shift)
        law = transverse_ratio_limit(b) * (1 + slopes[name] * s)
        chain.expand("Taylor polynomial", law, s, 1, *angles)
        chain.lemma(f"small rates, {name}")


def _energies(proof: Proof) -> None:
    proof.suppose("moments of the gate", above(v, c**2))
    means = []
    for name, cited, of_up in (
        ("E h h'", "kernel in the moments", c_up),
        ("E h²", "second moment", sp.Integer(1)),
        ("E h'²", "perturbed second moment", v_up),
    ):
        gates = proof.cite("arccos_kernel", cited)
        chain = proof.start(name, gates.lhs * of_up)
        chain.step("over the gates", gates.rhs * of_up, Using(gates))
        means.append(chain.lemma(f"{name} of a gated block"))
    names = sp.Symbol("K", real=True), *sp.symbols("H H1", positive=True)
    cross, signal, perturbed = (proof.call(symbol, fact) for symbol, fact in zip(names, means, strict=True))
    chain = proof.start("E h'² − (E hh')²/E h²", names[2] - names[0] ** 2 / names[1])
    chain.step("insert", perturbed.rhs - cross.rhs**2 / signal.rhs, Using(cross, signal, perturbed))
    chain.conclude("transverse energy of a gated block", gated_transverse(Pair(c, v), Pair(c_up, v_up)))


def _angles(proof: Proof) -> list[Any]:
    """Both are analytic in s = √p."""
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Equal(s, sp.Integer(0)))
    c_shift, v_shift = magnitude_shift(2 * s, b)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    shift.step("tangent", sp.atan(2 * s * sp.sqrt(1 - b**2) / c_shift), Equal(s, sp.Integer(0)))
    return [flip.fact, shift.fact]


if __name__ == "__main__":
    raise SystemExit(run(__file__))
