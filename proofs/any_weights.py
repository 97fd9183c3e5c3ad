"""Theorems 3 and 4 are one: for every symmetric law of weights A(0) is 1/(1 − cos²(w, sign w)).

A weight has magnitude m_j with probability q_j, and either sign. Of this law only E w² = 1 and E|w| = b are
used: a matrix's own entries are one, and laws with a density are limits. That the pre-activations are
Gaussian is the law of many delocalised inputs, on which the block's energies rest.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Equal, Using, above, by, equal, least
from signmag_jax.theory.symbolic.energies import transverse
from signmag_jax.theory.symbolic.gaussian import angle
from signmag_jax.theory.symbolic.perturbations import (
    grouped_sign_quantize,
    magnitude_shift,
    matched_size,
    sign_flip,
)
from signmag_jax.theory.symbolic.symbols import magnitude, rate, root_rate, size
from signmag_jax.theory.symbolic.theorem_3 import (
    transverse_ratio,
    transverse_ratio_expansion,
    transverse_ratio_limit,
)

TITLE = "One constant: Theorems 3 and 4 for weights of any law"

p, s, eps, b = rate, root_rate, size, magnitude
group = sp.Symbol("G", positive=True, integer=True)
j, count = sp.Symbol("j", positive=True, integer=True), sp.Symbol("n", positive=True, integer=True)
m, share = sp.Function("m", real=True)(j), sp.Function("q", real=True)(j)


def mean(function: sp.Expr) -> Any:
    """E g(|w|)."""
    return sp.Sum(share * function, (j, 1, count))


def prove(proof: Proof) -> None:
    proof.suppose("rates", least(sp.Rational(1, 2), p), above(1 / sp.sqrt(2), s))
    proof.suppose("magnitudes that are not all equal", above(1, b))
    limit = _expansion(proof)
    whole = proof.suppose("probabilities", equal(mean(sp.Integer(1)), sp.Integer(1)))
    first = proof.suppose("mean magnitude", equal(mean(m), b))
    square = proof.suppose("variance", equal(mean(m**2), sp.Integer(1)))
    _ratio(proof, _moments(proof, whole, first, square))
    cosine = _quantiser(proof, whole, first, square)
    _groups(proof, first, square)
    one = proof.begin(limit)
    one.step("the cosine of Theorem 4", 1 / (1 - cosine.lhs), Using(cosine))
    one.lemma("the constant of Theorem 3 is that of Theorem 4")


def _moments(proof: Proof, whole: Any, first: Any, square: Any) -> list[Any]:
    """w w' is the product of the magnitudes, with a sign only where it is flipped."""
    flip, shift = sign_flip(p), magnitude_shift(eps, b)
    kept, flipped = (1 - p) * mean(m * m), p * mean(-m * m)
    shifted = mean(m**2) + 2 * eps * mean(m) + eps**2 * mean(sp.Integer(1))
    found = []
    for name, start, parts, law, facts in (
        ("sign flip: c", flipped + kept, (1 - 2 * p) * mean(m**2), flip.c, [square]),
        ("sign flip: v", p * mean((-m) ** 2) + kept, mean(m**2), flip.v, [square]),
        ("magnitude shift: c", mean(m * (m + eps)), mean(m**2) + eps * mean(m), shift.c, [first, square]),
        ("magnitude shift: v", mean((m + eps) ** 2), shifted, shift.v, [whole, first, square]),
    ):
        chain = proof.start(name, start)
        if start != parts:
            chain.step("expand", parts, Algebra())
        chain.step("insert the moments", law, Using(*facts))
        found.append(chain.lemma(name))
    return found


def _ratio(proof: Proof, moments: list[Any]) -> None:
    """T of both perturbations at the size of equal Frobenius norm."""
    matched = [
        proof.fact(
            f"{name} of the shift by 2√p",
            "substitution",
            lambda one=one: by.specialise(one, {eps: matched_size(p)}),
        )
        for name, one in zip("cv", moments[2:], strict=True)
    ]
    c_flip, c_shift = sp.symbols("c_flip c_shift", real=True)
    v_flip, v_shift = sp.symbols("v_flip v_shift", positive=True)
    names = (c_flip, v_flip, c_shift, v_shift)
    named = [proof.call(name, moment) for name, moment in zip(names, (*moments[:2], *matched), strict=True)]
    chain = proof.start("A(p)", transverse(c_flip, v_flip) / transverse(c_shift, v_shift))
    chain.step(
        "insert the moments",
        transverse(*sign_flip(p)) / transverse(*magnitude_shift(matched_size(p), b)),
        Using(*named),
    )
    chain.lemma("transverse ratio")


def _quantiser(proof: Proof, whole: Any, first: Any, square: Any) -> Any:
    """cos²(w, w') of w' = b sign(w)."""
    chain = proof.start("cos²(w, sign w)", mean(m * b) ** 2 / (mean(m**2) * mean(b**2)))
    pulled = (b * mean(m)) ** 2 / (mean(m**2) * b**2 * mean(sp.Integer(1)))
    chain.step("pull out the scale", pulled, Algebra())
    chain.step("insert the moments", b**2, Using(whole, first, square))
    return chain.lemma("cosine of the sign quantiser")


def _groups(proof: Proof, first: Any, square: Any) -> None:
    """Moments of w' = s·sign(w), s the mean of the independent magnitudes of a group, of which w is one."""
    own, other = mean(m**2), mean(m) ** 2
    law = grouped_sign_quantize(group, b)
    for name, start, found in (
        ("c", (mean(m * m) + (group - 1) * mean(m) * mean(m)) / group, law.c),
        ("v", (group * mean(m * m) + group * (group - 1) * mean(m) * mean(m)) / group**2, law.v),
    ):
        chain = proof.start(f"sign quantiser by groups: {name}", start)
        expanded = (own + (group - 1) * other) / group
        if start != expanded:
            chain.step("expand", expanded, Algebra())
        chain.step("insert the moments", found, Using(first, square))
        chain.lemma(f"sign quantiser by groups: {name}")


def _expansion(proof: Proof) -> Any:
    """Both angles are analytic in s = √p, as for Gaussian weights."""
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Equal(s, sp.Integer(0)))
    c_shift, v_shift = magnitude_shift(2 * s, b)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    tangent = sp.atan(2 * s * sp.sqrt(1 - b**2) / c_shift)
    shift.step("tangent", tangent, Equal(s, sp.Integer(0)))
    ratio = transverse_ratio(s**2, b)
    limit = proof.start("A(s²)", ratio)
    limit.limit("constant term", transverse_ratio_limit(b), s, flip.fact, shift.fact)
    constant = limit.lemma("limit of the transverse ratio")
    k = sp.sqrt(1 - b**2)
    root = -4 / (3 * sp.pi) * (1 - k)
    linear = -1 - 8 * b * k / (3 * sp.pi) - 16 * k * (1 - k) / (9 * sp.pi**2)
    expansion = proof.start("A(s²)", ratio)
    expansion.expand(
        "Taylor polynomial", (1 + root * s + linear * s**2) / (1 - b**2), s, 2, flip.fact, shift.fact
    )
    expansion.conclude("expansion of the transverse ratio", transverse_ratio_expansion(s**2, b))
    return constant


if __name__ == "__main__":
    raise SystemExit(run(__file__))
