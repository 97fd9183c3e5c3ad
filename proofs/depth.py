"""Depth: the recursion of a plain chain, its bound at every depth, and its floor as p → 0."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import (
    Algebra,
    Differentiate,
    Equal,
    Using,
    above,
    by,
    increase,
    inside,
    join,
    least,
    limit,
    settle,
    weakened,
)
from signmag_jax.theory.symbolic.depth import cosine_map, plain_ratio, plain_step
from signmag_jax.theory.symbolic.depth_limits import depth_floor, fixed_point_coefficient, plain_bound
from signmag_jax.theory.symbolic.energies import kappa
from signmag_jax.theory.symbolic.gaussian import angle
from signmag_jax.theory.symbolic.perturbations import magnitude_shift
from signmag_jax.theory.symbolic.symbols import cosine, growth, overlap, root_rate, state_cosine
from signmag_jax.theory.symbolic.theorem_3 import transverse_ratio_limit

TITLE = "Depth: plain chains"

c, v, q, rho, s = overlap, growth, state_cosine, cosine, root_rate
a, b, x, t = sp.symbols("a b x t", positive=True)
low = sp.Symbol("low", real=True)
r = sp.Symbol("r", positive=True)
k, k_flip, k_shift = sp.symbols("k k_flip k_shift", nonnegative=True)
n = sp.Symbol("L", integer=True, nonnegative=True)
half = sp.Rational(1, 2)
J = cosine_map
zero, one = sp.Integer(0), sp.Integer(1)


def drop(x: sp.Expr) -> sp.Expr:
    """D(x) = 1 − J(1 − x)."""
    return 1 - J(1 - x)


def prove(proof: Proof) -> None:
    _recursion(proof)
    _first_layer(proof)
    shape = _concavity(proof)
    _at_rates(proof, _bound(proof, shape, _larger_argument(proof, shape)))
    _floor(proof)


def _recursion(proof: Proof) -> None:
    """The cosine after one more layer is E h h'/√(E h² E h'²) for pre-activations of covariance c q."""
    proof.suppose("c q is the covariance of a pair", least(v, (c * q) ** 2))
    changed = by.specialise(
        proof.cite("arccos_kernel", "perturbed second moment"),
        {sp.Symbol("theta", real=True): angle(c * q, v)},
    )
    clean = proof.cite("arccos_kernel", "second moment")
    both = by.specialise(proof.cite("arccos_kernel", "kernel in the moments"), {c: c * q})
    chain = proof.start("cosine after a layer", both.lhs / sp.sqrt(clean.lhs * changed.lhs))
    chain.step("insert the moments", 2 * kappa(c * q, v) / sp.sqrt(v), Using(both, clean, changed))
    chain.conclude("plain recursion", plain_step(q, c, v))


def _first_layer(proof: Proof) -> None:
    """C_1 in the transverse energies T = v/2 − 2κ² of the block, whose ratio is A."""
    flip, shift = sp.symbols("kappa_flip kappa_shift", positive=True)
    energies = sp.Rational(1, 2) - 2 * flip**2, v / 2 - 2 * shift**2
    chain = proof.start("C_1", plain_ratio(2 * flip, 2 * shift / sp.sqrt(v)))
    chain.step("collect", v * energies[0] / energies[1], Algebra())
    chain.lemma("C_1 = v T_flip/T_shift")


def _concavity(proof: Proof) -> dict[str, Any]:
    """D(x) = 1 − J(1 − x) increases and D(x)/x decreases, as D' ≥ 0 and (D − x D')' > 0."""
    proof.suppose("an argument of J", above(1, rho), above(1, -rho))
    slope = proof.start("J'", sp.Derivative(J(rho), rho))
    slope.step("differentiate", (sp.pi - sp.acos(rho)) / sp.pi, Differentiate())
    slope.lemma("slope of J")
    rising = slope.sign("J' ≥ 0")
    positive = proof.conclude("J is not negative", increase(rising, -one, rho, proof.given))
    proof.suppose("a smaller argument", least(rho, low), above(1, -low))
    upward = proof.conclude("J increases", increase(rising, low, rho, proof.given))

    proof.suppose("arguments of D", above(2, x), above(2, a), above(2, b))
    rate = proof.start("D'", sp.Derivative(drop(x), x))
    rate.step("differentiate", 1 - sp.acos(1 - x) / sp.pi, Differentiate())
    slanting = rate.sign("D' ≥ 0")
    cost = proof.conclude("D is not negative", increase(slanting, zero, x, proof.given))
    gap = proof.start("(D − x D')'", sp.Derivative(drop(x) - x * rate.value, x))
    gap.step("differentiate", x / (sp.pi * sp.sqrt(x * (2 - x))), Differentiate())
    room = proof.conclude("D − x D' is positive", increase(gap.sign("its sign"), zero, x, proof.given))
    steep = proof.positive("D' ≥ 0 again", rate.value)
    proof.conclude("D is positive", proof.positive("D > 0", drop(x), room, steep))
    fall = proof.start("(−D/x)'", sp.Derivative(-drop(x) / x, x))
    fall.step("quotient rule", room.lhs / x**2, Differentiate())
    falling = join(fall.fact, proof.positive("−D/x increases", room.lhs / x**2, room))
    proof.suppose("in order", least(b, a))
    rises = proof.conclude("D increases", increase(slanting, a, b, proof.given))
    falls = proof.conclude("D/x decreases", increase(weakened(falling), a, b, proof.given))
    return {"J ≥ 0": positive, "J rises": upward, "D ≥ 0": cost, "D rises": rises, "D/x falls": falls}


def _larger_argument(proof: Proof, shape: dict[str, Any]) -> Any:
    """D(b) ≤ r D(a) for b ≤ r a and r ≥ 1: as D increases where b ≤ a, as D(x)/x decreases elsewhere."""
    d_a, d_b = sp.symbols("D_a D_b", real=True)
    proof.suppose("a multiple", least(r, 1), least(r * a, b))
    claim = r * drop(a) - drop(b)
    named = {d_a: drop(a), d_b: drop(b)}
    least_a = proof.apply("D(a) ≥ 0", shape["D ≥ 0"], {x: a})
    between = proof.fact("a − b ≥ 0", "hypothesis", lambda: by.suppose(least(a, b)))
    order = proof.fact("D_a ≥ D_b", "hypothesis", lambda: by.suppose(least(d_a, d_b)))
    some = proof.fact("D_a ≥ 0", "hypothesis", lambda: by.suppose(least(d_a)))
    first = proof.positive("b ≤ a", r * d_a - d_b, order, some, form=(r - 1) * d_a + (d_a - d_b))
    smaller = proof.apply("D(b) ≤ D(a)", shape["D rises"], {a: b, b: a}, between)
    first = proof.apply("D(b) ≤ r D(a) if b ≤ a", first, named, least_a, smaller)

    ratio = proof.fact("D_a/a ≥ D_b/b", "hypothesis", lambda: by.suppose(least(d_a / a, d_b / b)))
    form = (r * a - b) / a * d_a + b * (d_a / a - d_b / b)
    second = proof.positive("b ≥ a", r * d_a - d_b, ratio, some, form=form)
    steeper = join(by.same(drop(a) / a - drop(b) / b, shape["D/x falls"].lhs), shape["D/x falls"])
    second = proof.apply("D(b) ≤ r D(a) if b ≥ a", second, named, least_a, settle(steeper, proof.given))
    both = proof.fact("D(b) ≤ r D(a)", "two cases", lambda: by.either(first, second, a - b))
    assert both.lhs == claim
    return proof.conclude("D(b) ≤ r D(a)", both)


def _cosines(proof: Proof, shape: dict[str, Any]) -> tuple[sp.Expr, dict[str, Any]]:
    """The cosines of a chain whose layers turn by ρ = k: q_0 = 1, q_{n+1} = J(k q_n); all lie in [0, 1]."""
    state, y = sp.symbols("state y", real=True)
    proof.suppose("a layer turns", above(1, k))
    q_n, begins, continues = proof.sequence("plain_cosine", n, state, one, J(k * state))
    square = least(1, q_n**2)
    start = join(inside(square.left.xreplace({n: zero}), begins), by.suppose(least(zero)))

    y_square = proof.fact("1 − y² ≥ 0", "hypothesis", lambda: by.suppose(least(1, y**2)))
    inner = proof.positive("y ≤ 1 if y ≤ 1", 1 - y, by.suppose(least(1, y)))
    beyond = proof.fact("y ≥ 1", "hypothesis", lambda: by.suppose(least(y, 1)))
    outer = proof.positive("y ≤ 1 if y ≥ 1", 1 - y, y_square, beyond, form=(1 - y**2) / ((y - 1) + 2))
    below = proof.fact("y ≤ 1", "two cases", lambda: by.either(inner, outer, 1 - y))
    above_ = proof.apply("y ≥ −1", below, {y: -y})

    held = proof.fact("the induction's hypothesis", "hypothesis", lambda: by.suppose(square))
    high = proof.apply("q_n ≤ 1", below, {y: q_n}, held)
    deep = proof.apply("q_n ≥ −1", above_, {y: q_n}, held)
    turned = k * q_n
    less = proof.positive("k q_n < 1", 1 - turned, high, form=(1 - k) + k * (1 - q_n))
    more = proof.positive("k q_n > −1", 1 + turned, deep, form=(1 - k) + k * (1 + q_n))
    map_low = proof.apply("J ≥ 0", shape["J ≥ 0"], {rho: turned}, less, more)
    map_high = proof.apply("J ≤ 1", shape["D ≥ 0"], {x: 1 - turned}, less, more)
    j = sp.Symbol("j", real=True)
    unit = proof.positive(
        "1 − j² ≥ 0", 1 - j**2, by.suppose(least(j)), by.suppose(least(1, j)), form=(1 - j) * (1 + j)
    )
    following = proof.apply("1 − J² ≥ 0", unit, {j: J(turned)}, map_low, map_high, less, more)
    continues = settle(continues, proof.given, less, more)
    step = join(
        settle(inside(square.left.xreplace({n: n + 1}), continues), proof.given, less, more), following
    )
    all_n = proof.induction("1 − q_n² ≥ 0", square, n, start, step)
    facts = {
        "q ≤ 1": proof.apply("q_n ≤ 1 for all n", below, {y: q_n}, all_n),
        "q ≥ −1": proof.apply("q_n ≥ −1 for all n", above_, {y: q_n}, all_n),
        "k q < 1": settle(less, proof.given, all_n),
        "k q > −1": settle(more, proof.given, all_n),
        "continues": settle(continues, proof.given, all_n),
        "begins": begins,
    }
    low_n = least(q_n)
    begin_low = join(inside(q_n.xreplace({n: zero}), begins), by.suppose(least(one)))
    step_low = join(settle(continues, proof.given, all_n), settle(map_low, proof.given, all_n))
    held_low = by.cut(by.suppose(step_low.claim, frozenset({low_n})), step_low)
    facts["q ≥ 0"] = proof.induction("q_n ≥ 0", low_n, n, begin_low, held_low)
    proof.conclude("cosines are at most 1", facts["q ≤ 1"])
    proof.conclude("cosines are not negative", facts["q ≥ 0"])
    return q_n, facts


def _bound(proof: Proof, shape: dict[str, Any], multiple: Any) -> Any:
    """1 − q_flip ≤ r (1 − q_shift) in every layer, r = (1 − k_flip)/(1 − k_shift); so C_L ≤ r."""
    q_n, facts = _cosines(proof, shape)
    proof.suppose("flips turn further", least(k_shift, k_flip), above(1, k_flip), above(1, k_shift))
    flips, shift = (
        {key: by.specialise(fact, {k: each}) for key, fact in facts.items()} for each in (k_flip, k_shift)
    )
    q_f, q_s = (q_n.xreplace({k: each}) for each in (k_flip, k_shift))
    start = {n: zero}

    # The shift's cosine is the larger one in every layer.
    order = least(q_s, q_f)
    held = proof.fact("q_shift ≥ q_flip", "hypothesis", lambda: by.suppose(order))
    form = k_shift * (q_s - q_f) + (k_shift - k_flip) * q_f
    inner = proof.positive(
        "k q of the shift is larger", k_shift * q_s - k_flip * q_f, held, flips["q ≥ 0"], form=form
    )
    values = {rho: k_shift * q_s, low: k_flip * q_f}
    larger = proof.apply("so is J", shape["J rises"], values, inner, shift["k q < 1"], flips["k q > −1"])
    following = inside(order.left.xreplace({n: n + 1}), shift["continues"], flips["continues"])
    step = settle(
        join(following, larger),
        proof.given,
        flips["k q < 1"],
        flips["k q > −1"],
        shift["k q < 1"],
        shift["k q > −1"],
    )
    begin = join(
        inside(order.left.xreplace(start), shift["begins"], flips["begins"]), by.suppose(least(zero))
    )
    ordered = proof.conclude(
        "the shift keeps more", proof.induction("q_shift ≥ q_flip", order, n, begin, step)
    )

    # What the flips lose is at most r times what the shift loses.
    multiple_ = (1 - k_flip) / (1 - k_shift)
    loss = least(multiple_ * (1 - q_s), 1 - q_f)
    held = proof.fact("the losses of L layers", "hypothesis", lambda: by.suppose(loss))
    x_s, x_f = 1 - k_shift * q_s, 1 - k_flip * q_f
    form = k_flip * loss.left + multiple_ * (k_shift - k_flip) * (1 - q_s)
    turned = proof.positive("x_flip ≤ r x_shift", multiple_ * x_s - x_f, held, shift["q ≤ 1"], form=form)
    more = proof.positive("r ≥ 1", multiple_ - 1, form=(k_shift - k_flip) / (1 - k_shift))
    sizes = [
        proof.positive(f"x of the {name} < 2", 2 - each, chain["k q > −1"])
        for name, each, chain in (("shift", x_s, shift), ("flips", x_f, flips))
    ]
    values = {a: x_s, b: x_f, r: multiple_}
    grown = proof.apply(
        "D(x_flip) ≤ r D(x_shift)", multiple, values, turned, more, *sizes, shift["k q < 1"], flips["k q < 1"]
    )
    following = inside(loss.left.xreplace({n: n + 1}), shift["continues"], flips["continues"])
    grown = join(by.same(following.rhs, grown.lhs), grown) if following.rhs != grown.lhs else grown
    lemmas = [chain[key] for chain in (flips, shift) for key in ("k q < 1", "k q > −1")]
    step = settle(join(following, grown), proof.given, *lemmas)
    begin = join(inside(loss.left.xreplace(start), shift["begins"], flips["begins"]), by.suppose(least(zero)))
    losses = proof.conclude(
        "losses stay in proportion", proof.induction("1 − q_flip ≤ r(1 − q_shift)", loss, n, begin, step)
    )

    form = (1 + q_s) * loss.left + (1 - q_f) * (q_s - q_f)
    bound = multiple_ * (1 - q_s**2) - (1 - q_f**2)
    final = proof.positive("C_L ≤ r", bound, losses, ordered, shift["q ≥ −1"], flips["q ≤ 1"], form=form)
    return proof.conclude("C_L is at most r at every depth L", final)


def _at_rates(proof: Proof, bound: Any) -> None:
    """The bound for flips at rate p = s² and shifts by 2s, as c_shift > √v_shift (1 − 2p)."""
    proof.suppose("rates up to 1/2", above(1 / sp.sqrt(2), s))
    c_shift, v_shift = magnitude_shift(2 * s)
    c_flip = 1 - 2 * s**2
    mean = sp.sqrt(2 / sp.pi)
    square = 4 * mean**2 * s**2 + 16 * mean * s**3 * (1 - s**2) + 4 * s**4 * (3 - 4 * s**2)
    further = proof.positive("c_shift² > v_shift (1 − 2p)²", c_shift**2 - v_shift * c_flip**2, form=square)
    proof.conclude("flips turn further", further)
    k_s = c_shift / sp.sqrt(v_shift)
    form = (c_shift**2 - v_shift * c_flip**2) / (sp.sqrt(v_shift) * (c_shift + sp.sqrt(v_shift) * c_flip))
    some = proof.positive("1 − 2p > 0", c_flip)
    keeps = proof.positive("c_shift/√v_shift > 1 − 2p", k_s - c_flip, further, some, form=form)
    room = (v_shift - c_shift**2) / (sp.sqrt(v_shift) * (sp.sqrt(v_shift) + c_shift))
    noise = proof.positive("v_shift > c_shift²", v_shift - c_shift**2, form=4 * s**2 * (1 - 2 / sp.pi))
    less = proof.positive("c_shift < √v_shift", 1 - k_s, noise, form=room)
    at = proof.apply("at rate s²", bound, {k_flip: c_flip, k_shift: k_s}, keeps, less)
    q_f, q_s = (sp.Function("plain_cosine", real=True)(n, each) for each in (c_flip, k_s))
    stated = plain_bound(c_flip, c_shift, v_shift) * (1 - q_s**2) - (1 - q_f**2)
    whole = proof.fact(
        "in the moments",
        "substitution",
        lambda: settle(join(by.same(stated, at.lhs), at), proof.given, less, noise),
    )
    proof.conclude("bound at every depth", whole)


def _floor(proof: Proof) -> None:
    """At q = J(ρ), ρ = k q = 1 − 2t², the loss u = 1 − q and the turn η = 1 − k are functions of t."""
    proof.suppose("near the fixed point", above(1, t))
    turn = proof.start("acos(1 − 2t²)", sp.acos(1 - 2 * t**2))
    turn.step("double angle", 2 * sp.asin(t), Equal(t, zero))
    loss, bend = 1 - J(1 - 2 * t**2), 1 - (1 - 2 * t**2) / J(1 - 2 * t**2)
    power = proof.start("u³/η²", loss**3 / bend**2)
    power.limit("t → 0", 9 * sp.pi**2 / 8, t, turn.fact)
    power.conclude("fixed point of small turns", fixed_point_coefficient())
    c_shift, v_shift = magnitude_shift(2 * s)
    turns = {"flip": 1 - (1 - 2 * s**2), "shift": 1 - c_shift / sp.sqrt(v_shift)}
    ratio = proof.start("η_flip/η_shift", plain_bound(1 - 2 * s**2, c_shift, v_shift))
    ratio.limit("p → 0", sp.pi / (sp.pi - 2), s)
    ratio.conclude("limit of the bound", transverse_ratio_limit())

    parts, losses = {sp.Symbol("R", positive=True): (ratio.fact, 0)}, []
    for name, turned in turns.items():
        size = sp.Function(f"t_{name}", real=True)(s)
        small = proof.suppose(f"the {name}s' fixed point tends to 1", limit(size, zero, s))
        positive = proof.suppose("and is below 1", limit(sp.sign(size), one, s))
        solves = proof.suppose(
            "where η is what a layer turns by", limit(bend.xreplace({t: size}) / turned, one, s)
        )
        at = proof.fact(
            f"u³/η² of the {name}s", "limit", lambda ends=(small, positive): by.composed(power.fact, *ends)
        )
        parts |= {
            sp.Symbol(f"P_{name}", positive=True): (at, 0),
            sp.Symbol(f"E_{name}", positive=True): (solves, 0),
        }
        losses.append(loss.xreplace({t: size}))
    r_, p_flip, e_flip, p_shift, e_shift = parts
    whole = p_flip / p_shift * (r_ * e_flip / e_shift) ** 2
    cubes = proof.fact(
        "u_flip³/u_shift³", "limit", lambda: settle(by.taylor(whole, s, 0, parts), proof.given)
    )
    assert cubes.lhs == losses[0] ** 3 / losses[1] ** 3
    root = proof.fact(
        "u_flip/u_shift", "limit", lambda: settle(by.taylor(sp.cbrt(r_), s, 0, {r_: (cubes, 0)}), proof.given)
    )
    proof.begin(root).conclude("floor", depth_floor())


if __name__ == "__main__":
    raise SystemExit(run(__file__))
