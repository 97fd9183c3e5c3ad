"""Depth with skip connections: the ratio rises with every layer as p → 0, and at p = 1/20 it first falls."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Derivative, Fact, Series, Using
from signmag_jax.theory.symbolic import (
    cosine_map,
    magnitude_shift,
    residual_energy,
    residual_first_ratio,
    residual_limit,
    residual_linear_step,
    residual_overlap,
    residual_transverse,
    sign_flip,
    transverse_ratio_limit,
)
from signmag_jax.theory.symbolic.symbols import depth, root_rate

TITLE = "Depth: the rise of residual chains"
STATEMENT = (
    "y ← y + relu(W y/‖y‖), every layer perturbed. To first order in p, T_flip = 2F_L p and T_shift = "
    "(2wF_L + 4(1 − w)G_L)p with w = 1 − 2/π, F_{L+1} = r_L F_L + 1, G_{L+1} = r_L G_L + a_{L+1} − a_L, "
    "a = A/(1 + A). G/F falls, so that lim_{p→0} C_L rises strictly with L, from 3π/(3π − 2). At a finite "
    "rate the rise need not begin at once: C_2 < C_1 at p = 1/20."
)

s, layers = root_rate, depth
a, y, tau, x, t = sp.symbols("A y tau x t", positive=True)
eta, jump, grow, delta, f, g = sp.symbols("eta sigma r Delta F G", positive=True)
half, w = sp.Rational(1, 2), 1 - 2 / sp.pi


def prove(proof: Proof) -> None:
    proof.domain |= {a: (1, 3), y: (0, 3), x: (1, 3), eta: (1, 2), jump: (1, 2), grow: (1, 2)}
    _first_order(proof)
    _superposition(proof, _sources(proof))
    _alignment_falls(proof)
    _ratio_rises(proof)
    _first_layer(proof)
    _not_at_every_rate(proof)


def _first_order(proof: Proof) -> None:
    """√v = 1 + στ, X = xτ²/2 and cosines 1 − ητ², 1 − uτ² with τ → 0: T = (x + σ²A/(1 + A))τ²."""
    root, u = 1 + jump * tau, sp.Symbol("u", positive=True)
    size, apart, lost = sp.symbols("T z K", positive=True)
    energy = proof.start(
        "T/τ²", residual_transverse(1 + a, 1 + root**2 * a, 1 + root * (a - x * tau**2 / 2)) / tau**2
    )
    energy.step("τ → 0", x + jump**2 * a / (1 + a), Series(tau, 1))
    turned = proof.start("(1 − cos θ)/τ²", (1 - (1 - eta * tau**2) * (1 - u * tau**2)) / tau**2)
    turned.step("τ → 0", eta + u, Series(tau, 1))
    angle = _angle(proof)
    cost = proof.start("(1 − J(1 − 2t²))/(2t²)", (1 - cosine_map(1 - 2 * t**2)) / (2 * t**2))
    analytic = (2 * t * sp.sqrt(1 - t**2) + (sp.pi - angle.value) * (1 - 2 * t**2)) / sp.pi
    cost.step("double angle", (1 - analytic) / (2 * t**2), Using(angle.fact))
    cost.step("t → 0", sp.Integer(1), Series(t, 1))
    limits = [energy.limit(size), turned.limit(apart), cost.limit(lost)]
    half_sine = proof.let(u, size / (2 * (1 + a)), "1 − q² = T/E y'², and 1 − q is half of it")
    following = sp.Symbol("a_next", positive=True)
    grown = proof.let(following, a / (1 + a) + delta, "A/(1 + A) of the next layer")
    chain = proof.start("T of the next layer, over τ²", x + lost * apart + jump**2 * following)
    whole = limits[0].rhs
    value = x + eta + whole / (2 * (1 + a)) + jump**2 * (a / (1 + a) + delta)
    chain.step("first order", value, Using(*limits[1:], half_sine, grown, limits[0]))
    chain.conclude("linear recursion", residual_linear_step(whole, eta, jump**2, grow_of(a), delta))


def grow_of(power: sp.Expr) -> sp.Expr:
    """r = 1 + 1/(2(1 + A))."""
    return 1 + 1 / (2 * (1 + power))


def _angle(proof: Proof) -> Chain:
    chain = proof.start("acos(1 − 2t²)", sp.acos(1 - 2 * t**2))
    return chain.step("double angle", 2 * sp.asin(t), Derivative(t, sp.Integer(0)))


def _sources(proof: Proof) -> list[Fact]:
    """η and σ² per p: 2 and 0 for the flips, which keep v = 1; 2w and 4(1 − w) for the shift."""
    c = sp.Symbol("c", positive=True)
    flips = proof.start("η of the flips, over p", (1 - c) / s**2)
    flips.step("c of the flips", sp.Integer(2), Using(proof.let(c, sign_flip(s**2).c, "c of the flips")))
    sources = [proof.call(sp.Symbol("eta_flip", positive=True), flips.fact)]
    c_shift, v_shift = magnitude_shift(2 * s)
    for name, expr, value in (
        ("eta_shift", (1 - c_shift / sp.sqrt(v_shift)) / s**2, 2 * w),
        ("jump_shift", (sp.sqrt(v_shift) - 1) ** 2 / s**2, 4 * (1 - w)),
    ):
        chain = proof.start(f"{name}, over p", expr)
        chain.step("p → 0", value, Series(s, 1))
        sources.append(chain.limit(sp.Symbol(name, positive=True)))
    return sources


def _superposition(proof: Proof, sources: list[Fact]) -> None:
    """T_flip = 2F and T_shift = 2wF + 4(1 − w)G solve their recursions, if F and G solve theirs."""
    eta_flip, eta_shift, jump_shift = (fact.lhs for fact in sources)
    f_next, g_next = grow * f + 1, grow * g + delta
    flips = proof.start(
        "T_flip of the next layer", residual_linear_step(2 * f, eta_flip, sp.Integer(0), grow, delta)
    )
    flips.step("source of the flips", 2 * grow * f + 2, Using(sources[0]))
    flips.conclude("flips", 2 * f_next)
    mixed = 2 * w * f + 4 * (1 - w) * g
    shift = proof.start(
        "T_shift of the next layer", residual_linear_step(mixed, eta_shift, jump_shift, grow, delta)
    )
    value = grow * mixed + 2 * w + 4 * (1 - w) * delta
    shift.step("sources of the shift", value, Using(*sources[1:]))
    shift.conclude("shift", 2 * w * f_next + 4 * (1 - w) * g_next)


def _alignment_falls(proof: Proof) -> None:
    """a_L = A/(1 + A) is concave: its rises Δ_L fall, and with them G/F, whose sources are Δ and 1."""
    names = sp.symbols("D_before D_here D_after", positive=True)
    before, here, after = names
    second = proof.start("Δ_{L−1} − Δ_L", 1 / before + 1 / after - 2 / here)
    sizes = [
        proof.let(name, residual_energy(layers + k, sp.Integer(1)), f"1 + A after L{k:+d} layers")
        for k, name in zip((-1, 0, 1), names, strict=True)
    ]
    more = proof.let(layers, 1 + y, "L ≥ 1")
    product = sp.Mul(*(fact.rhs.subs(layers, 1 + y) for fact in sizes))
    bend = (sp.pi - 1) / (2 * sp.pi) + 3 * y / (2 * sp.pi) + 3 * y * (1 + y) / (2 * sp.pi**2)
    second.step("insert the energies", bend / product, Using(*sizes, more))
    second.lemma("the rises fall")
    proof.positive("Δ_L < Δ_{L−1}", second.value.subs(product, sp.Symbol("D", positive=True)))

    # The induction: G = Δ_{L−1} F + e with e ≥ 0, and Δ_{L−1} = Δ_L + d with d > 0.
    extra, fall = sp.symbols("e d", positive=True)
    held = proof.let(g, (delta + fall) * f + extra, "G ≥ Δ_{L−1} F")
    next_one = proof.start("G_{L+1} − Δ_L F_{L+1}", grow * g + delta - delta * (grow * f + 1))
    next_one.step("insert", grow * (extra + fall * f), Using(held))
    next_one.lemma("the induction step")
    proof.positive("G_{L+1} > Δ_L F_{L+1}", next_one.value)
    falls = proof.start("G_L F_{L+1} − G_{L+1} F_L", g * (grow * f + 1) - (grow * g + delta) * f)
    falls.step("insert", extra + fall * f, Using(held))
    falls.lemma("G/F falls")
    proof.positive("G_{L+1}/F_{L+1} < G_L/F_L", falls.value)


def _ratio_rises(proof: Proof) -> None:
    """lim C_L = F/(wF + 2(1 − w)G) = 1/(w + 2(1 − w)G/F)."""
    now, less, earlier = sp.symbols("R d R_before", positive=True)
    across, along = sp.symbols("w z", positive=True)
    limit = 1 / (across + 2 * along * now)
    ratio = proof.start("T_flip/T_shift", 2 * f / (2 * across * f + 4 * along * g))
    ratio.step("R = G/F", limit, Using(proof.let(g, now * f, "R = G/F")))
    rise = proof.start("C_{L+1} − C_L", limit - limit.subs(now, earlier))
    gain = 2 * along * less / ((across + 2 * along * now) * (across + 2 * along * (now + less)))
    rise.step("R falls", gain, Using(proof.let(earlier, now + less, "R falls")))
    rise.lemma("rise of a residual chain")
    proof.positive("C_{L+1} > C_L", rise.value)
    shares = proof.let(across, w, "w = 1 − 2/π"), proof.let(along, 1 - w, "1 − w")
    one_layer = proof.let(now, sp.Rational(1, 3), "F_1 = 1, G_1 = A_1/(1 + A_1)")
    ratio.step("one layer", 3 * sp.pi / (3 * sp.pi - 2), Using(*shares, one_layer))
    ratio.conclude("first layer", residual_first_ratio())


def _first_layer(proof: Proof) -> None:
    """The first layer's ratio from the exact recursion, and the limit of the limits, as p → 0."""
    c_shift, v_shift = magnitude_shift(2 * s)
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Derivative(s, sp.Integer(0)))
    shift = proof.start("angle of the shift", sp.acos(c_shift / sp.sqrt(v_shift)))
    shift.step("tangent", sp.atan(2 * s * sp.sqrt(w) / c_shift), Derivative(s, sp.Integer(0)))
    facts = Using(flip.fact, shift.fact)
    for name, exact, value, law in (
        (
            "C_1",
            _exact(1, 1 - 2 * s**2, sp.Integer(1)) / _exact(1, c_shift, v_shift),
            3 * sp.pi / (3 * sp.pi - 2),
            residual_first_ratio(),
        ),
        (
            "C_∞",
            residual_limit(1 - 2 * s**2, c_shift, v_shift),
            sp.pi / (sp.pi - 2),
            transverse_ratio_limit(),
        ),
    ):
        chain = proof.start(name, exact)
        chain.step("angles", exact.subs(flip.origin, flip.value).subs(shift.origin, shift.value), facts)
        chain.step("p → 0", value, Series(s, 1))
        chain.conclude(f"{name} of small errors", law)


def _exact(length: int, c: sp.Expr, v: sp.Expr) -> sp.Expr:
    """Transverse energy of the stream after one or two layers."""
    cosines = cosine_map(c / sp.sqrt(v))
    if length == 2:
        clean, other, both = _stream(sp.Integer(1), cosines, v)
        cosines += cosine_map(c * both / sp.sqrt(clean * other) / sp.sqrt(v))
    return residual_transverse(*_stream(sp.Integer(length), cosines, v))


def _stream(length: sp.Expr, cosines: sp.Expr, v: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """E y², E y'² and E y y'."""
    energies = residual_energy(length, sp.Integer(1)), residual_energy(length, v)
    return *energies, residual_overlap(length, cosines, v)


def _not_at_every_rate(proof: Proof) -> None:
    """p = 1/20, where the paper's simulated ratio falls from C_1 to C_2 as well."""
    p = sp.Rational(1, 20)
    flip, shift = sign_flip(p), magnitude_shift(2 * sp.sqrt(p))
    ratios = [_exact(length, *flip) / _exact(length, *shift) for length in (1, 2)]
    proof.positive("C_1 > C_2 at p = 1/20", ratios[0] - ratios[1])


if __name__ == "__main__":
    raise SystemExit(run(__file__))
