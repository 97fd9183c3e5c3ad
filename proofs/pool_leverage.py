"""Pools of columns: flips inside over flips outside, and what a bound on that ratio rests on."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Derivative, Differentiate, Series, Using
from signmag_jax.theory.symbolic import (
    column_ratio,
    column_ratio_bound,
    column_ratio_expansion,
    column_ratio_limit,
    cosine_map,
    pool_flip_energy,
    pool_growth,
    pool_noise,
    pool_overlap,
)
from signmag_jax.theory.symbolic.symbols import fraction, growth, overlap, pool_share, rate, root_rate

TITLE = "Pools of columns"
STATEMENT = (
    "Perturb only columns that carry the share σ of the pre-activation's variance, no one of them a visible "
    "part: (z, z') is Gaussian of moments 1 + σ(c − 1), 1 + σ(v − 1). Flips at rate p then cost D(2pσ), "
    "D(x) = 1 − J(1 − x), and per flip ((1 − f)/f) D(2pσ)/D(2p(1 − σ)) times what they cost outside, if the "
    "pool is the fraction f of all columns. Assumption (minority pool): σ ≤ 1/2. Under it the ratio is at "
    "most (1 − f)/f, 19 for f = 5%, at every rate; without it the ratio is at most ((1 − f)/f) σ/(1 − σ), "
    "which it approaches as p → 0 and which has no bound. Against flips anywhere the bound is 1/f, without "
    "an assumption."
)

p, s, sigma, f = rate, root_rate, pool_share, fraction
c, v = overlap, growth
j = sp.Symbol("j", positive=True, integer=True)
a = sp.IndexedBase("a", real=True)
x, y, t, h, psi = sp.symbols("x y t h psi", positive=True)
inside, outside, excess = sp.symbols("D_in D_out g", positive=True)
half = sp.Rational(1, 2)


def prove(proof: Proof) -> None:
    proof.domain |= {c: (half, sp.Rational(9, 10)), v: (1, 2), x: (0, 1), t: (0, half), y: (0, 3)}
    cost = _pair(proof)
    ratio = _ratio(proof, cost)
    limit = _small_rates(proof)
    _shape(proof)
    _minority(proof, ratio)
    _majority(proof, limit)
    _anywhere(proof)


def _pair(proof: Proof) -> Chain:
    """Independent columns: each adds a_j² of the variance, times 1, c or v. Columns 1..k are the pool."""
    k, n = sp.symbols("k n", positive=True, integer=True)
    pool, rest = sp.Sum(a[j] ** 2, (j, 1, k)), sp.Sum(a[j] ** 2, (j, k + 1, n))
    shares = proof.let(pool, sigma, "the pool's share"), proof.let(rest, 1 - sigma, "the rest of it")
    product = proof.start("E z z'", rest + c * pool)
    product.step("insert the shares", 1 - sigma + c * sigma, Using(*shares))
    product.conclude("overlap of the pair", pool_overlap(sigma, c))
    size = proof.start("E z'²", rest + v * pool)
    size.step("insert the shares", 1 - sigma + v * sigma, Using(*shares))
    size.conclude("growth of the pair", pool_growth(sigma, v))
    c_pair, v_pair = sp.symbols("c_pair v_pair", positive=True)
    across = proof.start("E z'² − (E z z')²", v_pair - c_pair**2)
    pair = proof.call(v_pair, size.fact), proof.call(c_pair, product.fact)
    across.step("insert the pair", size.value - product.value**2, Using(*pair))
    across.conclude("noise of the pair", pool_noise(sigma, c, v))

    energy = proof.cite("theorem_3", "energy")
    flipped = [
        proof.call(c, product.fact.at({c: 1 - 2 * p})),
        proof.call(v, size.fact.at({v: sp.Integer(1)})),
    ]
    cost = proof.start("energy of flips in the pool", energy.rhs)
    bent = 1 - 2 * p * sigma
    cost.step(
        "insert the moments",
        1 - (sp.sqrt(1 - bent**2) + (sp.pi - sp.acos(bent)) * bent) / sp.pi,
        Using(*flipped),
    )
    cost.conclude("energy of flips in a pool", pool_flip_energy(p, sigma))
    return cost


def _ratio(proof: Proof, cost: Chain) -> Chain:
    """Per flip: there are f flips inside for each 1 − f outside."""
    other = sp.Symbol("sigma_out", positive=True)
    ratio = proof.start(
        "ratio of the energies per flip", cost.value / f / (cost.value.subs(sigma, other) / (1 - f))
    )
    rest = proof.let(other, 1 - sigma, "share of the rest")
    ratio.step("the rest's share", (1 - f) / f * cost.value / cost.value.subs(sigma, 1 - sigma), Using(rest))
    ratio.conclude("ratio per flip", column_ratio(p, sigma, f))
    return ratio


def _small_rates(proof: Proof) -> Chain:
    """In √p, with σ = u² and 1 − σ = w²."""
    u, w = sp.symbols("u w", positive=True)
    ratio = (1 - f) / f * pool_flip_energy(s**2, u**2) / pool_flip_energy(s**2, w**2)
    chain, facts = proof.start("ratio in s = √p", ratio), []
    for root in (u, w):
        angle = proof.start(f"acos(1 − 2{root}²s²)", sp.acos(1 - 2 * root**2 * s**2))
        angle.step("double angle", 2 * sp.asin(root * s), Derivative(s, sp.Integer(0)))
        facts.append(angle.fact)
        ratio = ratio.subs(angle.origin, angle.value)
    chain.step("double angles", ratio, Using(*facts))
    limit, lead = chain.branch(), (1 - f) / f * u**2 / w**2
    rest = proof.let(w, sp.sqrt(1 - u**2), "share of the rest")
    limit.step("p → 0", lead, Series(s, 1))
    limit.step("the rest", lead.subs(w, sp.sqrt(1 - u**2)), Using(rest))
    limit.conclude("limit of small rates", column_ratio_limit(u**2, f))
    polynomial = lead * (1 - 4 / (3 * sp.pi) * (u - w) * s)
    chain.step("Taylor polynomial", polynomial, Series(s, 2))
    chain.step("share of the rest", polynomial.subs(w, sp.sqrt(1 - u**2)), Using(rest))
    chain.conclude("expansion of the ratio", column_ratio_expansion(s**2, u**2, f))
    share = proof.start("limit of the ratio", limit.value)
    share.step("σ = u²", (1 - f) / f * sigma / (1 - sigma), Using(proof.let(u, sp.sqrt(sigma), "√σ")))
    return share


def _shape(proof: Proof) -> None:
    """D(x) = 1 − J(1 − x) increases, and D(x)/x decreases, on 0 < x < 2."""
    slope = proof.start("D'", sp.Derivative(1 - cosine_map(1 - x), x))
    slope.step("differentiate", 1 - sp.acos(1 - x) / sp.pi, Differentiate())
    turned = proof.let(sp.acos(1 - x), sp.pi - psi, "0 < ψ < π")
    slope.step("angle from the other side", psi / sp.pi, Using(turned))
    slope.lemma("slope of D")
    proof.positive("D increases", slope.value)
    falls = proof.cite("depth", "D − x D' increases from 0")
    proof.positive("D(x)/x decreases", falls.rhs)


def _minority(proof: Proof, ratio: Chain) -> None:
    """σ ≤ 1/2: D(2pσ) ≤ D(2p(1 − σ)), as D increases. Equality at σ = 1/2."""
    gap = proof.start("(1 − f)/f less the ratio", (1 - f) / f * (1 - inside / outside))
    more = proof.let(outside, inside + excess, "D_out ≥ D_in")
    gap.step("D_out = D_in + g", (1 - f) / f * excess / (inside + excess), Using(more))
    some = proof.let(f, 1 / (1 + y), "0 < f < 1")
    gap.step("f = 1/(1 + y)", y * excess / (inside + excess), Using(some))
    gap.lemma("bound of a minority pool")
    proof.positive("ratio < (1 − f)/f", gap.value)
    sharp = proof.start("ratio at σ = 1/2", ratio.value)
    sharp.step("σ = 1/2", (1 - f) / f, Using(proof.let(sigma, half, "half of the variance")))
    sharp.conclude("the bound is attained", column_ratio_bound(f))


def _majority(proof: Proof, limit: Chain) -> None:
    """σ > 1/2: D_in/σ ≤ D_out/(1 − σ), as D(x)/x decreases; and the assumption cannot be left out."""
    odds = sigma / (1 - sigma)
    gap = proof.start("limit less the ratio", (1 - f) / f * (odds - inside / outside))
    less = proof.let(inside, odds * outside - excess, "D_in ≤ σ/(1 − σ) D_out")
    gap.step("D(x)/x decreases", (1 - f) / f * excess / outside, Using(less))
    some = proof.let(f, 1 / (1 + y), "fraction of the columns")
    gap.step("f = 1/(1 + y)", y * excess / outside, Using(some))
    gap.lemma("bound of any pool")
    proof.positive("ratio < ((1 − f)/f) σ/(1 − σ)", gap.value)

    over = proof.start("limit less (1 − f)/f", limit.value - (1 - f) / f)
    majority = proof.let(sigma, (1 + 2 * t) / (2 + 2 * t), "1/2 < σ < 1")
    over.step("σ = (1 + 2t)/(2 + 2t)", (1 - f) / f * 2 * t, Using(majority))
    over.step("0 < f < 1", 2 * t * y, Using(some))
    over.lemma("a majority pool exceeds it")
    proof.positive("a majority pool exceeds (1 − f)/f", over.value)

    case = (
        proof.let(sigma, sp.Rational(3, 4), "three quarters of the variance"),
        proof.let(f, sp.Rational(1, 20), "in 5% of the columns"),
    )
    example = proof.start("a counterexample to 19", limit.value - column_ratio_bound(f))
    example.step("σ = 3/4, f = 1/20", sp.Integer(57 - 19), Using(*case))
    example.lemma("counterexample")
    proof.positive("57 > 19", example.value)

    inverse = proof.start("(1 − f)/f over the ratio", (1 - f) / f / limit.value)
    inverse.step("σ = 1 − h", h / (1 - h), Using(proof.let(sigma, 1 - h, "almost all of the variance")))
    inverse.step("σ → 1", sp.Integer(0), Series(h, 1))
    inverse.conclude("no bound without the assumption", sp.Integer(0))


def _anywhere(proof: Proof) -> None:
    """Flips at rate p in all columns cost D(2p) ≥ D(2pσ); there are f flips inside for each of them."""
    gap = proof.start("1/f less the ratio to flips anywhere", 1 / f - inside / f / outside)
    more = proof.let(outside, inside + excess, "D(2p) ≥ D(2pσ)")
    gap.step("D(2p) = D_in + g", excess / (f * (inside + excess)), Using(more))
    gap.lemma("bound against flips anywhere")
    proof.positive("ratio to flips anywhere < 1/f", gap.value)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
