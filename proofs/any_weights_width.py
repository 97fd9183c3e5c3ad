"""Finite width for weights of any symmetric law: fourth cumulants of flips and shift, and what they do to κ.

A weight has magnitude m_j with probability q_j, and either sign, as in any_weights.py; here E|w|³ and E w⁴
count besides. How fourth cumulants change κ is cited from finite_width.py, and with it what is not derived
there: Edgeworth's expansion, and that derivatives of Gaussian means are derivatives by the moments.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Using, above, equal
from signmag_jax.theory.symbolic.perturbations import magnitude_shift, sign_flip
from signmag_jax.theory.symbolic.symbols import growth, magnitude, overlap, rate, size
from signmag_jax.theory.symbolic.width import (
    AbsoluteMoments,
    flip_cumulants,
    flip_kernel_change,
    shift_cumulants,
    shift_kernel_change,
)

TITLE = "Finite width for weights of any law"

p, eps, b = rate, size, magnitude
third, fourth = sp.symbols("m_3 m_4", positive=True)
WEIGHTS = AbsoluteMoments(b, third, fourth)
j, count = sp.Symbol("j", positive=True, integer=True), sp.Symbol("n", positive=True, integer=True)
m, share = sp.Function("m", real=True)(j), sp.Function("q", real=True)(j)
POWERS = [(4 - k, k) for k in range(5)]


def mean(function: sp.Expr) -> Any:
    """E g(|w|)."""
    return sp.Sum(share * function, (j, 1, count))


def prove(proof: Proof) -> None:
    proof.suppose("rates", above(1, p))
    proof.suppose("magnitudes that are not all equal", above(1, b))
    names = (sp.Integer(1), b, sp.Integer(1), third, fourth)
    facts = [proof.suppose(f"E|w|^{k}", equal(mean(m**k), value)) for k, value in enumerate(names)]
    _of_flips(proof, facts)
    _of_the_shift(proof, facts)
    _change(proof)


def _of_flips(proof: Proof, facts: list[Any]) -> None:
    """w^a w'^b is w⁴, with a sign where the weight is flipped and b is odd."""
    for (a, k), law in zip(POWERS, flip_cumulants(p, WEIGHTS), strict=True):
        parts = (1 - p) * mean(m**a * m**k) + p * mean(m**a * (-m) ** k)
        moment = fourth * (1 - p + (-1) ** k * p)
        _cumulant(proof, f"κ_{a}{k} of the flips", parts, moment, _gaussian(*sign_flip(p))[k], law, facts)


def _of_the_shift(proof: Proof, facts: list[Any]) -> None:
    """w^a w'^b is |w|^a (|w| + ε)^b, the signs being two, four or none."""
    known = (1, b, 1, third, fourth)
    for (a, k), law in zip(POWERS, shift_cumulants(eps, WEIGHTS), strict=True):
        whole = mean(m**a * (m + eps) ** k)
        moment = sum(sp.binomial(k, r) * eps**r * known[a + k - r] for r in range(k + 1))
        gaussian = _gaussian(*magnitude_shift(eps, b))[k]
        _cumulant(proof, f"κ_{a}{k} of the shift", whole, moment, gaussian, law, facts)


def _gaussian(c: sp.Expr, v: sp.Expr) -> tuple[sp.Expr, ...]:
    """E w^a w'^b of a Gaussian pair with E w² = 1."""
    return (sp.Integer(3), 3 * c, v + 2 * c**2, 3 * c * v, 3 * v**2)


def _cumulant(
    proof: Proof,
    name: str,
    mixed: sp.Expr,
    moment: sp.Expr,
    gaussian: sp.Expr,
    law: sp.Expr,
    facts: list[Any],
) -> None:
    chain = proof.start(name, mixed - gaussian)
    expanded = _by_powers(mixed) - gaussian
    if expanded != chain.value:
        chain.step("expand", expanded, Algebra())
    used = [fact for fact in facts if expanded.has(fact.lhs)]
    chain.step("insert the moments", moment - gaussian, Using(*used))
    chain.conclude(name, law)


def _by_powers(mixed: sp.Expr) -> sp.Expr:
    """The means of single powers."""
    total = sp.Integer(0)
    for term in sp.Add.make_args(mixed):
        factor, whole = term.as_independent(sp.Sum)
        for (k,), coefficient in sp.Poly(whole.args[0] / share, m).terms():
            total += factor * coefficient * mean(m**k)
    return total


def _change(proof: Proof) -> None:
    """Both closed forms, in which no lower order of ε is left to cancel."""
    general = proof.cite("finite_width", "change of the kernel per Σ x_j⁴")
    names = sp.symbols("k_40 k_31 k_22 k_13 k_04", real=True)
    for name, cumulants, pair, law in (
        ("flips", flip_cumulants(p, WEIGHTS), sign_flip(p), flip_kernel_change(p, WEIGHTS)),
        ("shift", shift_cumulants(eps, WEIGHTS), magnitude_shift(eps, b), shift_kernel_change(eps, WEIGHTS)),
    ):
        own = dict(zip((*names, overlap, growth), (*cumulants, *pair), strict=True))
        chain = proof.begin(proof.apply(f"at the cumulants of the {name}", general, own))
        chain.step("collect", law, Algebra())
        chain.lemma(f"change of κ by the {name}")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
