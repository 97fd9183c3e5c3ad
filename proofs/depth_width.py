"""Plain chains of finite width: what n rows do to the cosine q between both states, to order 1/n.

q is random: n(E q − q̄) and n Var q follow a recursion. Not derived here: Edgeworth's expansion (see
finite_width.py); that cumulants of independent weights add, so that (z, z') has κ_ab Σ_j x_j^a x_j'^b; the
law of large numbers, by which n Σ_j x_j^a x_j'^b of a hidden state is E h^a h'^b/(E h²)²; and that Taylor's
formula may be averaged term by term. t stands for 1/√n. An outcome j of everything up to the rows of a layer
has probability p(j); found(j)/√n is what q before the layer has beyond its mean, added(j)/√n what rows add.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Differentiate, Using, above, equal
from signmag_jax.theory.symbolic.depth import cosine_map
from signmag_jax.theory.symbolic.depth_slope import (
    Fluctuation,
    chain_kernel_change,
    cosine_bias,
    cosine_variance,
    fluctuation_step,
    hidden_fourths,
    sine_change,
)
from signmag_jax.theory.symbolic.symbols import cosine, growth, overlap, rows, state_cosine
from signmag_jax.theory.symbolic.width import FourthCumulants

TITLE = "Finite width, layer by layer"

c, v, q, rho, m = overlap, growth, state_cosine, cosine, rows
half = sp.Rational(1, 2)
k, t = sp.symbols("k t", positive=True)
shift, spread, change, own = sp.symbols("e V b U", real=True)
j, count = sp.Symbol("j", positive=True, integer=True), sp.Symbol("N", positive=True, integer=True)
chance, before, rows_add = (sp.Function(name, real=True)(j) for name in ("p", "found", "added"))
J = cosine_map


def mean(function: sp.Expr) -> Any:
    """E over the outcomes."""
    return sp.Sum(chance * function, (j, 1, count))


def prove(proof: Proof) -> None:
    _rows_of_both(proof)
    kernels = _hidden(proof)
    _realised(proof, kernels)
    _next_layer(proof)
    _angle(proof)


def _rows_of_both(proof: Proof) -> None:
    """Inputs of cosine q: z and z' have the covariance c q."""
    general = proof.cite("finite_width", "change of the kernel per Σ x_j⁴")
    cumulants = sp.symbols("k_40 k_31 k_22 k_13 k_04", real=True)
    sums = sp.symbols("S_40 S_31 S_22 S_13 S_04", real=True)
    proof.suppose("moments of a pair", above(v, (c * q) ** 2))
    values = {kappa: kappa * s for kappa, s in zip(cumulants, sums, strict=True)} | {c: c * q}
    chain = proof.begin(proof.apply("at the sums of both inputs", general, values))
    law = chain_kernel_change(FourthCumulants(*cumulants), FourthCumulants(*sums), q, c, v)
    chain.conclude("change of the kernel, for two inputs", law)


def _hidden(proof: Proof) -> dict[str, Any]:
    """E h^a h'^b at unit variances, and what it is of (E h²)² = 1/4."""
    proof.suppose("a correlation", above(1, rho), above(1, -rho))
    cases = {"22": "2 and 2", "31": "3 and 1", "40": "4 and 0"}
    at, kernels = {v: sp.Integer(1), sp.Symbol("theta", real=True): sp.acos(rho)}, {}
    for powers, name in cases.items():
        kernel = proof.cite("finite_rows", f"kernel of degrees {name}")
        here = {symbol: value for symbol, value in at.items() if symbol in kernel.lhs.free_symbols}
        kernels[powers] = proof.apply(f"E h^{powers[0]} h'^{powers[1]}", kernel, here) if here else kernel
    laws = hidden_fourths(rho)
    for powers, law in (("22", laws.k22), ("31", laws.k31), ("40", laws.k40)):
        chain = proof.start(f"n Σ x^{powers[0]} x'^{powers[1]}", kernels[powers].lhs / half**2)
        chain.step("insert the kernel", kernels[powers].rhs / half**2, Using(kernels[powers]))
        chain.conclude(f"sum of the powers {powers[0]} and {powers[1]}", law)
    return kernels


def _realised(proof: Proof, kernels: dict[str, Any]) -> None:
    """A/√(BC) of A = Σ hh', B = Σ h² and C = Σ h'² over m rows: slopes at the means, covariances."""
    a, b, d = sp.symbols("A B C", positive=True)
    root = sp.sqrt(b * d)
    slopes = {a: 1 / root, b: -a / (2 * b * root), d: -a / (2 * d * root)}
    bends = {
        (a, b): -1 / (2 * b * root),
        (a, d): -1 / (2 * d * root),
        (b, b): 3 * a / (4 * b**2 * root),
        (b, d): a / (4 * b * d * root),
        (d, d): 3 * a / (4 * d**2 * root),
    }
    for name, value in slopes.items():
        chain = proof.start(f"slope by {name}", sp.Derivative(a / root, name))
        chain.step("differentiate", value, Differentiate())
        chain.lemma(f"slope of the cosine by {name}")
    for (first, second), value in bends.items():
        chain = proof.start(f"bend by {first} and {second}", sp.Derivative(slopes[first], second))
        chain.step("differentiate", value, Differentiate())
        chain.lemma(f"second slope of the cosine by {first} and {second}")
    named = {
        powers: proof.call(sp.Symbol(f"E_{powers}", positive=True), fact) for powers, fact in kernels.items()
    }
    k22, k31, k40 = (fact.lhs for fact in named.values())
    product, j_ = sp.Symbol("kappa", real=True), 2 * sp.Symbol("kappa", real=True)
    rise = {
        (a, a): k22 - product**2,
        (a, b): k31 - product / 2,
        (a, d): k31 - product / 2,
        (b, b): k40 - half**2,
        (b, d): k22 - half**2,
        (d, d): k40 - half**2,
    }
    twice = {pair: 1 if pair[0] == pair[1] else 2 for pair in rise}
    bias = sum(twice[pair] * bends[pair] * m * rise[pair] for pair in bends) / 2
    variance = sum(twice[pair] * slopes[pair[0]] * slopes[pair[1]] * m * rise[pair] for pair in rise)
    cases = (
        ("bias", bias, j_ * (3 * k40 + k22) - 4 * k31, cosine_bias(rho)),
        ("variance", variance, 4 * k22 + 2 * j_**2 * (k22 + k40) - 8 * j_ * k31, cosine_variance(rho)),
    )
    for name, whole, collected, law in cases:
        chain = proof.start(f"m times the {name}", m * whole)
        chain.at("the means", {a: m * product, b: m / 2, d: m / 2})
        chain.step("collect", collected, Algebra())
        chain.at("the mean of hh'", {product: J(rho) / 2})
        value = chain.value.xreplace({fact.lhs: fact.rhs for fact in named.values()})
        chain.step("insert the kernels", value, Using(*named.values()))
        chain.conclude(f"{name} of the cosine of rows", law)


def _next_layer(proof: Proof) -> None:
    """q ← J(k q) for the q that a layer finds, and what its rows add."""
    proof.suppose("an angle between the states", above(1, k * q), above(1, -k * q))
    x = sp.Symbol("x", real=True)
    found = proof.start("J of the cosine found", J(k * (q + t * x + t**2 * shift)))
    away, sine = sp.pi - sp.acos(k * q), sp.sqrt(1 - (k * q) ** 2)
    slope, bend = k * away / sp.pi, k**2 / (sp.pi * sine)
    found.expand("Taylor", J(k * q) + t * slope * x + t**2 * (slope * shift + bend * x**2 / 2), t, 2)
    found.lemma("a layer's cosine, from that before it")

    facts = _chances(proof, "the cosine before", before)
    facts.append(proof.suppose("what rows add has mean 0", equal(mean(rows_add), sp.Integer(0))))
    whole = (slope * before + rows_add) / t + slope * shift + bend * before**2 / 2 + change + own
    average = proof.start("n (E q − J)", mean(whole))
    parts = zip((slope * shift + change + own, slope / t, bend / 2, 1 / t), facts, strict=True)
    average.step("expand", sp.Add(*(factor * fact.lhs for factor, fact in parts)), Algebra())
    average.step("insert the moments", slope * shift + change + own + bend * spread / 2, Using(*facts))
    average.at("the bias of rows", {own: cosine_bias(k * q)})
    after = fluctuation_step(Fluctuation(shift, spread), k * q, k, change)
    average.conclude("mean of the next cosine", after.mean)

    facts = [
        facts[2],
        proof.suppose(
            "rows are drawn anew: they do not know what q was", equal(mean(before * rows_add), sp.Integer(0))
        ),
        proof.suppose("variance of the cosine of rows", equal(mean(rows_add**2), own)),
    ]
    square = proof.start("n Var q", mean((slope * before + rows_add) ** 2))
    square.step("expand", slope**2 * facts[0].lhs + 2 * slope * facts[1].lhs + facts[2].lhs, Algebra())
    square.step("insert the moments", slope**2 * spread + own, Using(*facts))
    square.at("the variance of rows", {own: cosine_variance(k * q)})
    square.conclude("variance of the next cosine", after.variance)


def _chances(proof: Proof, what: str, outcome: sp.Expr) -> list[Any]:
    """Of the outcomes, and of the mean and variance of what is random about a cosine."""
    return [
        proof.suppose("chances", equal(mean(sp.Integer(1)), sp.Integer(1))),
        proof.suppose(f"what is random about {what} has mean 0", equal(mean(outcome), sp.Integer(0))),
        proof.suppose("and this variance", equal(mean(outcome**2), spread)),
    ]


def _angle(proof: Proof) -> None:
    """sin² and the ratio of two, in h = 1/n."""
    x, h = sp.Symbol("x", real=True), sp.Symbol("h", positive=True)
    sine = proof.start("sin²", 1 - (q + t * x + t**2 * shift) ** 2)
    sine.expand("Taylor", 1 - q**2 - 2 * t * q * x - t**2 * (2 * q * shift + x**2), t, 2)
    sine.lemma("sin² of a cosine that fluctuates")
    facts = _chances(proof, "the cosine", before)
    proof.suppose("an angle", above(1, q**2))
    change_ = -2 * q * before / t - 2 * q * shift - before**2
    average = proof.start("n (E sin²/(1 − q²) − 1)", mean(change_) / (1 - q**2))
    one, first, second = (fact.lhs for fact in facts)
    average.step("expand", -(2 * q * first / t + 2 * q * shift * one + second) / (1 - q**2), Algebra())
    average.step("insert the moments", -(2 * q * shift + spread) / (1 - q**2), Using(*facts))
    average.conclude("change of sin²", sine_change(q, Fluctuation(shift, spread)))
    flips, shifts = sp.symbols("a_flip a_shift", real=True)
    ratio = proof.start("C(n)/C", (1 + h * flips) / (1 + h * shifts))
    ratio.expand("Taylor", 1 + h * (flips - shifts), h, 1)
    ratio.lemma("coefficient of 1/n")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
