"""Pools of columns: flips inside over flips outside, and what a bound on that ratio rests on."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Equal, Using, above, equal, least
from signmag_jax.theory.symbolic.columns import column_ratio_bound, column_ratio_expansion, column_ratio_limit
from signmag_jax.theory.symbolic.depth import cosine_map
from signmag_jax.theory.symbolic.outliers import flip_energy
from signmag_jax.theory.symbolic.pools import pool_flip_energy, pool_growth, pool_noise, pool_overlap
from signmag_jax.theory.symbolic.symbols import fraction, growth, overlap, pool_share, rate, root_rate

TITLE = "Pools of columns"

p, s, sigma, f = rate, root_rate, pool_share, fraction
c, v = overlap, growth
j = sp.Symbol("j", positive=True, integer=True)
a = sp.Function("a", real=True)
u, w, h, small = sp.symbols("u w h s_0", positive=True)
half = sp.Rational(1, 2)


def drop(x: sp.Expr) -> sp.Expr:
    """D(x) = 1 − J(1 − x)."""
    return 1 - cosine_map(1 - x)


def prove(proof: Proof) -> None:
    proof.suppose("a pool", above(1, f), above(1, sigma), above(1, p))
    _pair(proof)
    _anywhere(proof)
    _minority(proof)
    _majority(proof)
    _small_rates(proof)


def _pair(proof: Proof) -> None:
    """Independent columns: each adds a_j² of the variance, times 1, c or v. Columns 1..k are the pool."""
    k, n = sp.symbols("k n", positive=True, integer=True)
    pool, rest = sp.Sum(a(j) ** 2, (j, 1, k)), sp.Sum(a(j) ** 2, (j, k + 1, n))
    shares = (
        proof.suppose("the pool's share", equal(pool, sigma)),
        proof.suppose("the rest", equal(rest, 1 - sigma)),
    )
    product = proof.start("E z z'", rest + c * pool)
    product.step("insert the shares", 1 - sigma + c * sigma, Using(*shares))
    product.conclude("overlap of the pair", pool_overlap(sigma, c))
    size = proof.start("E z'²", rest + v * pool)
    size.step("insert the shares", 1 - sigma + v * sigma, Using(*shares))
    size.conclude("growth of the pair", pool_growth(sigma, v))
    across = proof.start("E z'² − (E z z')²", size.origin - product.origin**2)
    across.step("insert the shares", size.value - product.value**2, Using(*shares))
    across.conclude("noise of the pair", pool_noise(sigma, c, v))

    cost = proof.begin(proof.cite("theorem_3", "energy"))
    cost.at("flips in the pool", {c: pool_overlap(sigma, 1 - 2 * p), v: sp.Integer(1)})
    cost.conclude("energy of flips in a pool", pool_flip_energy(p, sigma))


def _small_rates(proof: Proof) -> None:
    """In s = √p, with σ = u² and 1 − σ = w²."""
    proof.suppose("small rates", above(1, u * s), above(1, w * s), above(1, small), above(1, u))
    angle = proof.start("acos(1 − 2s²)", sp.acos(1 - 2 * small**2))
    angle.step("double angle", 2 * sp.asin(small), Equal(small, sp.Integer(0)))
    angles = [proof.begin(angle.fact).at(f"s_0 = {size}", {small: size}).fact for size in (u * s, w * s)]
    ratio = (1 - f) / f * flip_energy(u * s) / flip_energy(w * s)
    lead = (1 - f) / f * u**2 / w**2
    chain = proof.start("ratio in s = √p", ratio)
    chain.expand("Taylor polynomial", lead * (1 - 4 / (3 * sp.pi) * (u - w) * s), s, 1, *angles)
    chain.at("the rest", {w: sp.sqrt(1 - u**2)})
    chain.conclude("expansion of the ratio", column_ratio_expansion(s**2, u**2, f))
    limit = proof.start("ratio in s = √p", ratio)
    limit.limit("p → 0", lead, s, *angles)
    limit.at("the rest", {w: sp.sqrt(1 - u**2)})
    limit.conclude("limit of small rates", column_ratio_limit(u**2, f))


def _shape(proof: Proof, name: str, low: sp.Expr, high: sp.Expr, *signs: Any) -> Any:
    """D increases, or D(x)/x decreases, between two arguments."""
    x, y = sp.symbols("a b", positive=True)
    return proof.apply(name, proof.cite("depth", name), {x: low, y: high}, *signs)


def _minority(proof: Proof) -> None:
    """σ ≤ 1/2: D(2pσ) ≤ D(2p(1 − σ)), as D increases; so the ratio is at most (1 − f)/f."""
    proof.suppose("a minority pool", least(half, sigma))
    inner, outer = 2 * p * sigma, 2 * p * (1 - sigma)
    more = proof.positive("outside", 2 - outer, form=2 * (1 - p) + 2 * p * sigma)
    order = proof.positive("in order", outer - inner, form=4 * p * (half - sigma))
    rises = _shape(proof, "D increases", inner, outer, more, order)
    positive = _costs(proof, outer, more)
    gap = column_ratio_bound(f) - (1 - f) / f * drop(inner) / drop(outer)
    form = (1 - f) / f * rises.lhs / drop(outer)
    proof.conclude("bound of a minority pool", proof.positive("the gap", gap, rises, positive, form=form))


def _costs(proof: Proof, x: sp.Expr, less: Any) -> Any:
    """D(x) > 0."""
    return proof.apply(
        "D > 0", proof.cite("depth", "D is positive"), {sp.Symbol("x", positive=True): x}, less
    )


def _majority(proof: Proof) -> None:
    """σ ≥ 1/2: D_in/σ ≤ D_out/(1 − σ), as D(x)/x decreases; and the assumption cannot be left out."""
    bigger = sp.Symbol("sigma_1", positive=True)
    proof.suppose("a majority pool", least(bigger, half), above(1, bigger))
    inner, outer = 2 * p * bigger, 2 * p * (1 - bigger)
    more = proof.positive("inside", 2 - inner, form=2 * (1 - p) + 2 * p * (1 - bigger))
    less = proof.positive("outside", 2 - outer, form=2 * (1 - p) + 2 * p * bigger)
    order = proof.positive("in order", inner - outer, form=4 * p * (bigger - half))
    falls = _shape(proof, "D/x decreases", outer, inner, more, less, order)
    positive = _costs(proof, outer, less)
    gap = column_ratio_limit(bigger, f) - (1 - f) / f * drop(inner) / drop(outer)
    form = (1 - f) / f * 2 * p * bigger * falls.lhs / drop(outer)
    proof.conclude("bound of a majority pool", proof.positive("the gap", gap, falls, positive, form=form))

    over = column_ratio_limit(bigger, f) - column_ratio_bound(f)
    form = 2 * (1 - f) / f * (bigger - half) / (1 - bigger)
    proof.conclude("its limit is above (1 − f)/f", proof.positive("above", over, form=form))
    case = (sp.Rational(3, 4), sp.Rational(1, 20))
    example = column_ratio_limit(*case) - column_ratio_bound(case[1])
    proof.conclude("three quarters of the variance in 5% of the columns", proof.positive("57 > 19", example))
    inverse = proof.start(
        "(1 − f)/f over the limit, at σ = 1 − h", column_ratio_bound(f) / column_ratio_limit(1 - h, f)
    )
    inverse.limit("σ → 1", sp.Integer(0), h)
    inverse.lemma("no bound without the assumption")


def _anywhere(proof: Proof) -> None:
    """Flips at rate p in all columns cost D(2p) ≥ D(2pσ); there are f flips inside for each of them."""
    inner, whole = 2 * p * sigma, 2 * p
    more = proof.positive("anywhere", 2 - whole, form=2 * (1 - p))
    order = proof.positive("in order", whole - inner, form=2 * p * (1 - sigma))
    rises = _shape(proof, "D increases", inner, whole, more, order)
    positive = _costs(proof, whole, more)
    form = rises.lhs / drop(whole) / f
    gap = 1 / f - drop(inner) / f / drop(whole)
    proof.conclude("bound against flips anywhere", proof.positive("the gap", gap, rises, positive, form=form))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
