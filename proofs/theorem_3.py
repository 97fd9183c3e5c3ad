"""Theorem 3: the transverse energies of sign flips and magnitude shifts, their ratio, and its expansion."""

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Equal, Using, above, by, least
from signmag_jax.theory.symbolic.energies import energy, kappa, radial, radial_fraction, transverse
from signmag_jax.theory.symbolic.gaussian import angle, expectation, first, perturbed, relu, second
from signmag_jax.theory.symbolic.perturbations import magnitude_shift, matched_size, sign_flip
from signmag_jax.theory.symbolic.symbols import growth, overlap, rate, root_rate, size
from signmag_jax.theory.symbolic.theorem_3 import (
    transverse_ratio,
    transverse_ratio_expansion,
    transverse_ratio_limit,
)

TITLE = "Theorem 3: the transverse ratio of sign and magnitude errors"

c, v, p, s = overlap, growth, rate, root_rate
z, u = first, second
half = sp.Rational(1, 2)


def prove(proof: Proof) -> None:
    proof.suppose("moments of a pair", least(v, c**2))
    _split_of_energy(proof)
    proof.suppose("rates", least(half, p), above(1 / sp.sqrt(2), s))
    _ratio(proof)
    _expansion(proof)


def _split_of_energy(proof: Proof) -> None:
    """e = E(h' − h)², r = (E h(h' − h))²/E h² and T = e − r, from the three moments of (h, h')."""
    turn = {sp.Symbol("theta", real=True): angle(c, v)}
    clean = proof.cite("arccos_kernel", "second moment")
    changed = proof.fact("E h'² in the moments", "substitution", lambda: _at(proof, turn))
    both = proof.cite("arccos_kernel", "kernel in the moments")
    h, new = relu(z), relu(perturbed(angle(c, v), v))

    error = proof.start("energy e", expectation((new - h) ** 2, z, u))
    error.step("expand the square", changed.lhs + clean.lhs - 2 * both.lhs, Algebra())
    error.step("insert the moments", v / 2 + half - 2 * kappa(c, v), Using(changed, clean, both))
    error.conclude("energy", energy(c, v))

    along = proof.start("E h(h' − h)", expectation(h * (new - h), z, u))
    along.step("expand the product", both.lhs - clean.lhs, Algebra())
    along.step("insert the moments", kappa(c, v) - half, Using(clean, both))
    part = proof.start("radial energy r", along.origin**2 / clean.lhs)
    part.step("insert the moments", 2 * (kappa(c, v) - half) ** 2, Using(along.fact, clean))
    part.conclude("radial energy", radial(c, v))

    rest = proof.start("transverse energy T = e − r", error.origin - part.origin)
    rest.step("insert e and r", error.value - part.value, Using(error.fact, along.fact, clean))
    rest.conclude("transverse energy", transverse(c, v))
    share = proof.start("radial fraction R = r/e", part.origin / error.origin)
    share.step("insert e and r", part.value / error.value, Using(error.fact, along.fact, clean))
    share.conclude("radial fraction", radial_fraction(c, v))


def _at(proof: Proof, turn: dict) -> Any:
    return proof.begin(by.specialise(proof.cite("arccos_kernel", "perturbed second moment"), turn)).fact


def _ratio(proof: Proof) -> None:
    """The moments of both perturbations at the size of equal Frobenius norm go into T."""
    moments = [proof.cite("perturbations", f"sign flip: {name}") for name in "cv"]
    moments += [
        proof.fact(f"{name} of the shift by 2√p", "substitution", lambda name=name: _matched(proof, name))
        for name in "cv"
    ]
    c_flip, c_shift = sp.symbols("c_flip c_shift", real=True)
    v_flip, v_shift = sp.symbols("v_flip v_shift", positive=True)
    names = (c_flip, v_flip, c_shift, v_shift)
    named = [proof.call(name, moment) for name, moment in zip(names, moments, strict=True)]
    chain = proof.start("A(p)", transverse(c_flip, v_flip) / transverse(c_shift, v_shift))
    flipped = half - 2 * kappa(*sign_flip(p)) ** 2
    value = flipped / transverse(*magnitude_shift(matched_size(p)))
    chain.step("insert the moments", value, Using(*named))
    chain.conclude("transverse ratio", transverse_ratio(p))


def _matched(proof: Proof, name: str) -> Any:
    return by.specialise(proof.cite("perturbations", f"magnitude shift: {name}"), {size: matched_size(p)})


def _expansion(proof: Proof) -> None:
    """Both angles are analytic in s = √p: acos(1 − 2s²) = 2 asin s, and an arctangent for the shift."""
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Equal(s, sp.Integer(0)))
    c_shift, v_shift = magnitude_shift(2 * s)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    tangent = sp.atan(2 * s * sp.sqrt(1 - 2 / sp.pi) / c_shift)
    shift.step("tangent", tangent, Equal(s, sp.Integer(0)))

    ratio = transverse_ratio(s**2)
    limit = proof.start("A(s²)", ratio)
    limit.limit("constant term", sp.pi / (sp.pi - 2), s, flip.fact, shift.fact)
    limit.conclude("limit of the transverse ratio", transverse_ratio_limit())

    b, k = sp.sqrt(2 / sp.pi), sp.sqrt(1 - 2 / sp.pi)
    root = -4 / (3 * sp.pi) * (1 - k)
    linear = -1 - 8 * b * k / (3 * sp.pi) - 16 * k * (1 - k) / (9 * sp.pi**2)
    polynomial = sp.pi / (sp.pi - 2) * (1 + root * s + linear * s**2)
    expansion = proof.start("A(s²)", ratio)
    expansion.expand("Taylor polynomial", polynomial, s, 2, flip.fact, shift.fact)
    expansion.conclude("expansion of the transverse ratio", transverse_ratio_expansion(s**2))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
