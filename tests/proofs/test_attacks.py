"""False theorems, each refused for its own reason: what facts are, what hypotheses and ranges do, limits."""

import ast
import copy
import pickle
from pathlib import Path

import pytest
import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from signmag_jax.theory.rules import (
    Algebra,
    Claim,
    Differentiate,
    Equal,
    Refused,
    above,
    by,
    equal,
    expansion,
    genuine,
    inside,
    join,
    kernel,
    least,
    limit,
)
from signmag_jax.theory.rules.derived import antiderivative
from signmag_jax.theory.rules.kernel import Fact, known, needs

x, y = sp.symbols("x y", positive=True)
t, u, w = sp.symbols("t u w", real=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
none = frozenset()
zero, one = sp.Integer(0), sp.Integer(1)


def refused(reason, rule, *given):
    with pytest.raises(Refused, match=reason):
        rule(*given)


def slope(e, x):
    """By the chain rule, as the kernel has it."""
    return by.same(sp.Derivative(e, x), kernel.slope(e, x))


def primitive(whole, function):
    return antiderivative(whole, function, none)


def test_the_trusted_part_is_one_short_file_that_names_what_it_trusts():
    source = Path(kernel.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    beside = {node.module for node in ast.walk(ast.parse(source)) if getattr(node, "level", 0)}
    assert beside == {"balls", "doubts", "normal"}
    assert all(
        name in kernel.__doc__ for name in ("balls.value", "doubts", "normal.canonical", "SymPy", "Python")
    )


class Agreeable(Claim):
    """A claim that equals every other."""

    __hash__ = Claim.__hash__

    def __eq__(self, other):
        return True


class Alike(str):
    """A text that equals every other."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


def quotient(p, q):
    """A quotient that SymPy's constructor did not reduce."""
    made = sp.Expr.__new__(sp.Rational)
    made.p, made.q = p, q
    return made


class Lying(sp.Symbol):
    """A symbol that calls itself positive."""

    is_positive = True


class Lenient(AppliedUndef):
    """A function whose values call themselves positive symbols."""

    is_Symbol = is_positive = True


def altered(called, /, **attributes):
    """A function of an ordinary kind whose class was changed afterwards."""
    kind = sp.Function(called, real=True)
    for attribute, value in attributes.items():
        setattr(kind, attribute, value)
    return kind


class TestFacts:
    @pytest.mark.parametrize("forged", [Fact(equal(sp.pi, sp.Integer(3)), none, none), None, object()])
    def test_what_the_kernel_did_not_make(self, forged):
        assert not genuine(forged)
        refused("no fact of the kernel's", by.rewrite, by.same(sp.pi, sp.pi), forged, sp.pi, sp.Integer(3))

    @pytest.mark.parametrize(
        "twin", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f)), lambda f: f._replace()]
    )
    def test_a_copy(self, twin):
        fact = by.same(x + x, 2 * x)
        assert genuine(fact)
        made = twin(fact)
        assert made is fact or not genuine(made)

    def test_a_fact_does_not_change(self):
        with pytest.raises(AttributeError):
            by.same(x, x).claim = equal(sp.pi, sp.Integer(3))

    @pytest.mark.parametrize(
        "claim",
        [
            Claim(">", x, sp.Integer(5)),
            Claim("=", x, sp.Integer(5), x),
            Claim("certainly", sp.pi, sp.Integer(3)),
            Claim("order", x, zero, n, 0),
            Claim("order", x, zero, x, -1),
            Claim("order", x, zero),
            Agreeable("=", sp.pi, sp.Integer(3)),
        ],
    )
    def test_a_claim_of_another_form(self, claim):
        with pytest.raises(Refused):
            by.suppose(claim)

    @pytest.mark.parametrize(
        "expression",
        [
            Lying("x", real=True),
            1 + sp.exp(Lying("x", real=True)),
            sp.Symbol("x"),
            sp.Symbol("x", negative=True),
            sp.Symbol("x", even=True),
            sp.Float(0.5),
            sp.I,
            sp.nan,
            sp.zoo,
            sp.gamma(x),
            sp.Function("f")(x),
            sp.Function("f", positive=True)(x),
            UndefinedFunction("f", (sp.core.function.AppliedUndef,), {"is_positive": True})(x),
            UndefinedFunction("lenient", (Lenient,), real=True)(x),
            altered("altered_kind", is_Symbol=True, is_positive=True)(t),
            altered("altered_value", eval=classmethod(lambda cls, *arguments: None))(t),
            altered("altered_name", name="sin")(t),
            UndefinedFunction(Alike("alike"), real=True)(t),
            sp.Symbol(Alike("alike"), real=True),
            *(t ** quotient(*parts) for parts in ((1, -2), (-1, -2), (2, 4), (1, 0), (3, 1))),
            sp.IndexedBase("a", positive=True)[n],
            sp.Indexed(sp.Tuple(sp.sqrt(-1 - t**2), u), n),
            sp.log(x, 2, evaluate=False),
            sp.Basic.__new__(sp.Abs, t, u),
            sp.Basic.__new__(sp.log),
            sp.Piecewise((x, x > 1), (0, True)),
        ],
    )
    def test_an_expression_of_another_kind(self, expression):
        refused("no meaning", by.same, expression, expression)

    def test_a_logarithm_has_no_second_argument(self):
        """log(8, 2) is 3 to SymPy, and its first argument's logarithm to whoever looks at that alone."""
        eight = sp.log(8, 2, evaluate=False)
        refused("no meaning", by.suppose, above(eight - 2))
        refused("no meaning", slope, sp.log(x, 2, evaluate=False), x)

    def test_what_is_remembered_is_of_plain_expressions(self):
        """Asked of a lying one that equals an honest one, the kernel would know the answer for both."""
        lying, honest = UndefinedFunction("g", (Lenient,), real=True), UndefinedFunction("g", real=True)
        assert lying(1 / t) == honest(1 / t)
        for ask in (lambda e: known(above(e), none), needs, lambda e: kernel.slope(e, t)):
            with pytest.raises(Refused, match="no meaning"):
                ask(lying(1 / t))
        assert above(honest(u)) in by.suppose(above(honest(u))).hypotheses

    def test_a_family_assumes_no_more_than_its_label(self):
        """Under another label, |a_n| = a_n would hold for every family."""
        positive = sp.IndexedBase(t, positive=True)[n]
        refused("no meaning", by.same, sp.Abs(positive, evaluate=False), positive)

    def test_names_that_equal_each_other(self):
        """Every value of such a function would be every value of another: u = f(t) = g(t)."""
        alike, other = UndefinedFunction(Alike("alike"), real=True)(t), sp.Function("g", real=True)(t)
        assert alike == other
        refused("no meaning", by.suppose, equal(u, alike))

    def test_a_number_is_no_family_of_its_name(self):
        entry = sp.IndexedBase(t)[n]
        refused("no meaning", inside, entry, by.suppose(equal(t, u)))
        whole = sp.Sum(entry, (n, 0, 3))
        refused("no meaning", inside, t + whole, by.suppose(equal(t, one)))

    def test_an_entry_of_a_list_is_no_real_number(self):
        """The square of an entry is not negative; the first entry here is √(−1 − t²)."""
        entry = sp.Indexed(sp.Tuple(sp.sqrt(-1 - t**2), u), n)
        refused("no meaning", by.suppose, least(entry**2))

    def test_a_tactic_of_ones_own_makes_no_fact(self):
        refused("does not take this", by.rewrite, by.same(x, x), (equal(x, y), none, none), x, y)


class TestHypotheses:
    def test_they_stay_until_they_are_met(self):
        fact = by.suppose(equal(t, zero))
        assert fact.hypotheses == {equal(t, zero)}
        refused("no hypothesis", by.cut, fact, by.same(x, x))
        whole = sp.Integral(t * w, (t, 0, 1))
        refused("is bound", by.rewrite, by.same(whole, whole), fact, whole, zero)

    def test_the_assumptions_of_a_symbol_are_hypotheses_of_what_replaces_it(self):
        root = by.same(sp.sqrt((x + y) ** 2), x + y)
        refused("a hypothesis is false", by.specialise, root, {x: -one})
        assert by.specialise(root, {x: t}).hypotheses == {above(t)}
        refused("free symbols take values", by.specialise, by.suppose(least(n)), {n: sp.Rational(1, 2)})

    def test_divisors_and_radicands(self):
        inverse = by.same((t**2 + t) / t, t + 1)
        assert above(t**2) in inverse.hypotheses
        refused("a hypothesis is false", by.specialise, inverse, {t: zero})
        refused("a hypothesis is false", by.specialise, by.same(sp.sqrt(t), sp.sqrt(t)), {t: -one})
        refused("a hypothesis is false", by.same, sp.acos(2) - sp.acos(2) + sp.acos(2), sp.acos(2))

    def test_a_false_sign_is_not_supposed(self):
        for number in (-one, zero, 3 - sp.pi):
            refused("a hypothesis is false", by.suppose, above(number))

    def test_signs_are_not_believed(self):
        for claim in (above(t), least(t), above(x - y), above(t**2), least(t**3), above(sp.sin(t) + 1)):
            assert by.suppose(claim).hypotheses == {claim}

    def test_two_cases_have_to_be_all_cases(self):
        first = by.suppose(least(y), frozenset({least(t)}))
        refused("two cases", by.either, first, first, t)
        halves = [by.suppose(equal(x, y), frozenset({least(side / t)})) for side in (1, -1)]
        assert above(t**2) in by.either(*halves, 1 / t).hypotheses, "t = 0 is neither case"


class TestSymbols:
    integral = sp.Integral(w * t, (w, 0, 1))

    def test_no_bound_symbol_is_captured(self):
        fact = by.same(self.integral, self.integral)
        refused("uncaught", by.specialise, fact, {t: w})
        refused("is bound", by.rewrite, fact, by.suppose(equal(w, one)), self.integral, t)
        refused("bound", inside, self.integral, by.suppose(equal(t, w)))

    def test_two_names_do_not_become_one(self):
        double = sp.Integral(w * u, (w, 0, 1), (u, 0, 2))
        z = sp.Symbol("z", real=True)
        fact = by.same(double + t, double + t)
        refused("uncaught", by.specialise, fact, {w: z, u: z})
        refused("uncaught", by.specialise, fact, {w: z, t: z})
        refused("uncaught", by.specialise, fact, {w: u})
        assert by.specialise(fact, {w: z}).lhs == sp.Integral(z * u, (z, 0, 1), (u, 0, 2)) + t

    def test_the_variable_of_a_supposed_limit(self):
        f = sp.Function("f", real=True)(t)
        fact = by.suppose(limit(f, zero, t))
        for new in (u, one, sp.Symbol("z", real=True)):
            refused("uncaught", by.specialise, fact, {t: new})

    def test_a_slope_has_no_value_at_a_point(self):
        refused("uncaught", by.specialise, slope(t**2, t), {t: one})

    def test_a_sequence(self):
        q = sp.Function("q_of_itself", real=True)
        refused("plain steps", by.sequence, "q_of_itself", n, t, zero, q(n + 1) + 1, False)
        refused("plain steps", by.sequence, "summed", n, t, zero, 1 + sp.Sum(t, (n, 0, 1)), False)
        later = sp.Function("q_of_later", real=True)(5)
        refused("plain steps", by.sequence, "q_of_later", n, t, -later, later + 1, False)
        by.sequence("attacked", n, t, one, t + 1, True)
        refused("defined already", by.sequence, "attacked", n, t, one, t + 2, True)


class TestIntegrals:
    @pytest.mark.parametrize("function", [w, w / (sp.pi * (1 + w**2)), sp.exp(w), one, sp.exp(-w), sp.sin(w)])
    def test_what_diverges(self, function):
        whole = sp.Integral(function, (w, -sp.oo, sp.oo))
        refused("not known to (converge|be defined)", by.same, whole, whole)

    @pytest.mark.parametrize("function", [1 / w, w**-2, sp.log(w), sp.acos(w), sp.sqrt(w), sp.tan(w)])
    def test_what_is_not_defined_over_the_range(self, function):
        whole = sp.Integral(function, (w, -1, 1))
        refused("not known to be defined|no meaning", by.same, whole, whole)
        with pytest.raises(Refused):
            primitive(whole, sp.log(sp.Abs(w)) if function == 1 / w else -1 / w)

    def test_sums_are_finite_and_no_integrals(self):
        refused("converge", by.same, sp.Sum(n, (n, 0, sp.oo)), sp.Sum(n, (n, 0, sp.oo)))
        with pytest.raises(Refused):
            primitive(sp.Sum(n, (n, 0, 5)), n**2 / 2)
        refused("no such range", by.same, sp.Sum(w, (w, 0, 5)), sp.Sum(w, (w, 0, 5)))
        refused("no such range", by.same, sp.Integral(n, (n, 0, 5)), sp.Integral(n, (n, 0, 5)))

    def test_a_sum_has_no_antiderivative(self):
        """Σ n, n = 0 … 5, is 15, and n²/2 between the same ends 25/2."""
        refused("by a real symbol|Expected type", primitive, sp.Sum(n, (n, 0, 5)), n**2 / 2)
        refused("another|Expected type", by.pieces, sp.Sum(n, (n, 0, 5)), (), by.same(n, n))

    def test_only_symbols_run(self):
        entry = sp.Function("a", real=True)(n)
        refused(
            "no such range|Invalid limits",
            by.same,
            sp.Integral(entry, (entry, 0, 1)),
            sp.Integral(entry, (entry, 0, 1)),
        )

    def test_an_inner_range_says_nothing_of_the_outer_variable(self):
        double = sp.Integral(u * t, (u, 0, 1), (t, -1, 1))
        bars = by.same(sp.Integral(u * sp.Abs(t), (u, 0, 1)), sp.Abs(t) * sp.Integral(u, (u, 0, 1)))
        inner = by.same(sp.Integral(u * t, (u, 0, 1)), t * sp.Integral(u, (u, 0, 1)))
        rooted = by.same(inner.lhs, inner.rhs, inner, by.same(sp.sqrt(u), sp.sqrt(u)))
        assert least(u) in by.pieces(double, (), rooted).hypotheses
        refused("another integrand", by.pieces, double, (), bars)
        only = join(inner, inside(inner.rhs, by.suppose(equal(t, sp.Abs(t)))))
        refused("whole range", by.pieces, double, (), only)

    def test_a_positive_symbol_runs_over_positive_numbers(self):
        for low, high in ((-1, 1), (-2, -1)):
            whole = sp.Integral(sp.Abs(x * t - x), (x, low, high))
            refused("a hypothesis is false", by.same, whole, sp.Integral(x * sp.Abs(t - 1), (x, low, high)))
        line = sp.Integral(x * sp.exp(-(x**2) / 2), (x, -sp.oo, sp.oo))
        refused("no such range", by.same, line, line)

    def test_a_range_that_runs_backwards(self):
        bars = join(by.same(sp.Abs(w), sp.Abs(w)), by.specialise(by.axiom("|u| = u"), {u: w}))
        whole = sp.Integral(sp.Abs(w), (w, 0, -1))
        refused("a hypothesis is false", by.pieces, whole, (), bars)
        refused("no such range", by.same, sp.Integral(w, (w, 0, -sp.oo)), zero)

    def test_a_cut_is_a_number_and_a_piece_has_an_integral(self):
        line = by.same(w, w)
        cut = by.pieces(sp.Integral(w, (w, 0, 1)), (sp.log(t),), line, line)
        assert above(t) in cut.hypotheses
        steep = by.same(w, sp.log(sp.exp(w), evaluate=False))
        refused("defined over the whole range", by.pieces, sp.Integral(w, (w, 0, 1)), (), steep)

    def test_bars_inside_the_range(self):
        """∫₀⁴ |cos(t(4 − t))| is not ∫₀⁴ cos(t(4 − t))."""
        function = sp.cos(w * (4 - w))
        fact = by.specialise(by.axiom("|u| = u"), {u: function})
        refused("whole range", by.pieces, sp.Integral(sp.Abs(function), (w, 0, 4)), (), fact)
        refused("whole range", by.pieces, sp.Integral(w, (w, 0, 1)), (), by.suppose(equal(w, one)))

    def test_an_antiderivative_is_continuous_and_has_the_slope(self):
        with pytest.raises(Refused):
            primitive(sp.Integral(one, (w, 0, sp.pi)), sp.atan(sp.tan(w)))
        whole = sp.Integral(1 / (1 + w**2), (w, -1, 1))
        with pytest.raises(Refused):
            primitive(whole, -sp.atan(1 / w))
        refused("differ by", primitive, sp.Integral(w, (w, 0, 1)), w**2)
        slanted = w * sp.erf(w / sp.sqrt(2))
        slope = sp.erf(w / sp.sqrt(2)) + w * sp.sqrt(2 / sp.pi) * sp.exp(-(w**2) / 2)
        refused("converge|no limit", primitive, sp.Integral(slope, (w, 0, sp.oo)), slanted)

    def test_ranges_that_depend_on_each_other(self):
        triangle = sp.Integral(w * u, (w, 0, u), (u, 0, 1))
        inner = sp.Integral(w * u, (w, 0, u))
        refused("no such range", by.pieces, triangle, (), by.same(inner, u * sp.Integral(w, (w, 0, u))))
        square = sp.Integral(w, (w, 0, 1), (u, 0, 1))
        refused("whole plane", by.polar, square, x, t, zero, by.same(x**2, x**2))
        refused("differ by|no points", by.same, sp.Integral(w * u, (w, 0, 1)), w * sp.Integral(u, (w, 0, 1)))

    def test_a_derivative_is_no_integral(self):
        """SymPy may not integrate where it was asked to differentiate."""
        tail = sp.Integral(sp.exp(-(y**2)), (y, 0, 1))
        with pytest.raises(Refused):
            Differentiate().prove(tail, sp.sqrt(sp.pi) * sp.erf(1) / 2, none)


class TestSlopes:
    def test_none_across_a_jump(self):
        """atan(1/t) = π/2 − atan t holds on one side only."""
        with pytest.raises(Refused):
            Equal(t, one).prove(sp.atan(1 / t), sp.pi / 2 - sp.atan(t), none)
        flat = slope(sp.atan(1 / t) + sp.atan(t), t)
        flat = join(flat, by.same(flat.rhs, zero))
        refused("whole range", by.rise, flat, -one, y)

    @pytest.mark.parametrize("times", [n, sp.Integer(0), sp.Integer(2), sp.Rational(1, 2)])
    def test_only_the_first(self, times):
        """SymPy evaluates a derivative of order n to 0 for what does not vary, and one of order 0 to that."""
        several = sp.Basic.__new__(sp.Derivative, u * t, sp.Tuple(t, times))
        refused("no slope", by.same, several, several)
        refused("no slope", inside, sp.Derivative(u, (t, n), evaluate=False), by.suppose(equal(u, w)))

    def test_none_at_a_corner(self):
        assert above(t**2) in slope(sp.Abs(t), t).hypotheses
        refused("no slope", slope, sp.sign(t), t)
        refused("by a real symbol", slope, n**2, n)

    def test_only_along_an_interval_from_its_end(self):
        flat = slope(t - t + sp.acos(2 * t**2 - 1) - 2 * sp.acos(t), t)
        with pytest.raises(Refused):
            by.rise(join(flat, by.same(flat.rhs, zero)), -one, y)
        rising = join(slope(t**2, t), by.suppose(above(2 * t)))
        refused("whole range", by.rise, rising, -one, y)
        refused("whole range", by.rise, by.suppose(least(sp.Derivative(t**3, t))), zero, y)


class TestLimits:
    def test_an_order_is_no_equality(self):
        """sin x = x + o(x) does not make 0 = sin π equal π."""
        order = expansion(sp.sin(x), x, 1, none)
        assert order.claim.kind == "order"
        refused("of kind order", inside, sp.sin(x), order)
        refused("of kind order", by.same, sp.sin(x), x, order)
        refused("free symbols take values", by.specialise, order, {x: sp.pi})
        refused("is not", join, order, by.suppose(equal(y, x)))
        refused("only limits", by.suppose, order.claim)

    def test_a_hidden_zero_is_no_divisor(self):
        machin = 4 * sp.atan(sp.Rational(1, 5)) - sp.atan(sp.Rational(1, 239)) - sp.pi / 4
        refused("no points of the domain", expansion, x / (x + machin), x, 0, none)
        assert above(machin**2) in by.same(x / machin, x / machin).hypotheses

    @pytest.mark.parametrize(
        "function", [1 / x, sp.Abs(x - x**2) / x**2, sp.sqrt(x), sp.log(x), sp.atan(1 / x)]
    )
    def test_none_where_there_is_none(self, function):
        with pytest.raises(Refused):
            expansion(function, x, 0, none)

    def test_a_limit_does_not_speak_of_its_variable(self):
        tends = expansion(sp.exp(x), x, 0, none)
        refused("near the limit|false", join, tends, by.suppose(equal(one, x)))
        f = sp.Function("f", real=True)(x)
        refused("only limits", by.suppose, limit(f, x, x))
        refused("no slope", by.taylor, sp.Integral(t * w, (w, 0, 1)), x, 0, {t: (tends, 0)})
        refused("false|no meaning to zoo", by.taylor, 1 / t, x, 0, {t: (expansion(sp.sin(x), x, 0, none), 0)})

    def test_composition_needs_the_side(self):
        f = sp.Function("f", real=True)(y)
        inner, outer = by.suppose(limit(f, zero, y)), expansion(sp.exp(x), x, 0, none)
        refused("is not 0", by.composed, outer, inner, by.suppose(above(f)))
        refused("is not 0", by.composed, outer, inner, by.suppose(limit(sp.sign(f), -one, y)))
        assert by.composed(outer, inner, by.suppose(limit(sp.sign(f), one, y))).lhs == sp.exp(f)

    def test_induction_has_a_start_and_a_step(self):
        q = sp.Function("q_attack", real=True)
        claim = least(q(n))
        base, step = by.suppose(least(q(0))), by.suppose(least(q(n + 1)))
        refused("no step", by.induction, claim, n, base, step)
        refused("no start", by.induction, claim, n, step, step)
        held = by.suppose(least(q(n + 1)), frozenset({claim, least(q(n) - 1)}))
        refused("assumed of the number of steps", by.induction, claim, n, base, held)


def test_what_equals_a_number_has_no_meaning_even_once_that_number_had():
    by.suppose(above(one))
    by.same(one, one)
    for alike in (1, True, 1.0, sp.Float(1)):
        refused("does not take|no meaning|no fact", by.suppose, Claim(">", alike))
        refused("does not take|no meaning|no fact", by.same, alike, one)


class TestOtherWays:
    """False theorems of each kind by which a proof could come to them, beside those that one once did."""

    plane = sp.Integral(sp.exp(-(t**2 + u**2) / 2), (t, -sp.oo, sp.oo), (u, -sp.oo, sp.oo))
    half = sp.Integral(plane.function, (t, -sp.oo, sp.oo), (u, 0, sp.oo))
    ray = sp.exp(-(x**2) / 2)

    @pytest.mark.parametrize(
        ("integral", "r", "result", "reason"),
        [
            (half, x, x * ray, "whole plane"),
            (plane, x, ray, "is not what"),
            (plane, sp.Symbol("z", real=True), x * ray, "whole plane"),
        ],
    )
    def test_polar_coordinates(self, integral, r, result, reason):
        refused(reason, by.polar, integral, r, w, zero, by.same(result, result))

    def test_limits_are_not_exchanged(self):
        """x/(x + y) → 0 for each y > 0, and is 1 at y = 0."""
        tends = expansion(x / (x + y), x, 0, none)
        refused("a hypothesis is false", by.specialise, tends, {y: zero})
        refused("uncaught", by.specialise, tends, {y: x})
        refused("uncaught", by.specialise, expansion(sp.exp(x * t), x, 0, none), {t: 1 / x})

    def test_an_order_is_lowered_only_by_what_vanishes(self):
        refused("no function of orders", by.taylor, t, x, 0, {t: (expansion(sp.sin(x), x, 1, none), 2)})
        refused("no function of orders", by.taylor, t, x, 1, {t: (expansion(sp.exp(x), x, 2, none), 1)})
        refused("no function of orders", by.taylor, t**2, x, 3, {t: (expansion(sp.sin(x), x, 1, none), 0)})

    @pytest.mark.parametrize(("count", "step"), [(n, n + 2), (t, t + 1)])
    def test_induction_reaches_every_number(self, count, step):
        q = sp.Function("q_leap", real=True)
        claim = least(q(count))
        held = by.suppose(least(q(step)), frozenset({claim}))
        refused("no start, or no step", by.induction, claim, count, by.suppose(least(q(0))), held)

    def test_a_weaker_sign_is_not_enough(self):
        for weaker in (least(t), above(t**3), above(t + 1)):
            refused("no hypothesis", by.cut, by.suppose(above(t)), by.suppose(weaker))

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ((t**3) ** sp.Rational(1, 3), t),
            (sp.log(t**2), 2 * sp.log(t)),
            (sp.atan(t) + sp.atan(u), sp.atan((t + u) / (1 - t * u))),
            (sp.exp(sp.pi * sp.sqrt(163)), sp.Integer(640320**3 + 744)),
            (sp.Sum(n, (n, 0, 5)), sp.Sum(n, (n, 1, 5)) + 1),
            (sp.Sum(n * t, (n, 0, 3)), t * sp.Sum(n, (n, 0, 4))),
            (sp.Sum(n, (n, 0, t + 1)) - sp.Sum(n, (n, 0, t)), t + 1),
            (sp.Sum(one, (n, 0, sp.Rational(1, 2))), sp.Rational(3, 2)),
            (sp.acos(sp.cos(t)), t),
            (sp.sign(t) ** 2, one),
            (x ** (t * u), x**t * x**u),
            ((t**2) ** u, t ** (2 * u)),
            (sp.erf(sp.Integer(20)), one),
            (sp.cos(sp.Rational(1, 10**40)), one),
            (sp.Integral(t, (t, 0, 1)), sp.Integral(t, (t, 1, 0))),
            (sp.Integral(t * u, (t, 0, 1)), sp.Integral(u * u, (u, 0, 1))),
        ],
    )
    def test_identities_that_nearly_hold(self, left, right):
        refused("differ by|what is left", by.same, left, right)

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            (sp.Pow(-8, sp.Rational(1, 3)), sp.Integer(-2)),
            (sp.Pow(-1, 2 * t), one),
            (sp.Sum(n, (n, 5, 0)), zero),
            (sp.Integral(x, (x, -1, 1)), sp.Integral(sp.Abs(x), (x, -1, 1))),
        ],
    )
    def test_identities_of_what_is_not_defined(self, left, right):
        refused("a hypothesis is false", by.same, left, right)

    def test_an_antiderivative_through_a_pole(self):
        steep = sp.Integral(sp.cos(w) ** -2, (w, 0, sp.pi))
        refused("whole range", primitive, steep, sp.sin(w) / sp.cos(w))

    def test_a_cut_lies_inside(self):
        bars = by.specialise(by.axiom("|u| = u"), {u: w})
        refused("whole range", by.pieces, sp.Integral(sp.Abs(w), (w, 0, 1)), (sp.Integer(3),), bars, bars)


class Shifty(dict):
    """Values that could differ from one look to the next."""


class TestDerivedRules:
    """False theorems by what derived rules are made of: rewriting, rises, expansions of parts."""

    f = sp.Function("f", real=True)(t)

    def test_rewriting_is_by_the_equality_alone(self):
        known_of_u = by.suppose(equal(u, w))
        refused("is not", by.rewrite, by.same(u + t, u + t), known_of_u, u + t, w + w)
        refused("is not", by.rewrite, by.suppose(above(u)), known_of_u, w, one)
        refused("of kind >", by.rewrite, by.same(u, u), by.suppose(above(u)), u, zero)
        assert equal(u, w) in by.rewrite(by.same(u, u), known_of_u, u, w).hypotheses

    def test_rewriting_captures_nothing(self):
        """u = t² makes the slope of t·u by t no slope of t³, nor Σ n·k a Σ n²."""
        slanted = by.same(sp.Derivative(t * u, t), u)
        refused("is bound", by.rewrite, slanted, by.suppose(equal(u, t**2)), sp.Derivative(t**3, t), u)
        k = sp.Symbol("k", integer=True, nonnegative=True)
        whole = sp.Sum(n * k, (n, 0, 3))
        made = by.same(whole, whole)
        refused("is bound", by.rewrite, made, by.suppose(equal(k, n)), whole, sp.Sum(n**2, (n, 0, 3)))

    def test_rewriting_does_not_enter_what_the_equality_replaces(self):
        """From a = n² with a = Σ (1 + n²), n = 0 … 3, a = Σ (1 + a) does not follow: 18 is not 76."""
        whole = sp.Sum(1 + n**2, (n, 0, 3))
        squared, twice = by.suppose(equal(whole, n**2)), sp.Sum(1 + whole, (n, 0, 3))
        refused("is not", by.rewrite, by.same(whole, whole), squared, whole, twice)
        refused("is bound", by.rewrite, by.same(twice, twice), squared, twice, zero)

    def test_rewriting_does_not_differentiate_twice(self):
        """An equality with the count of a derivative: of order u it has no meaning."""
        several = sp.Basic.__new__(sp.Derivative, t**2, sp.Tuple(t, u))
        once = by.same(sp.Derivative(t**2, t), 2 * t)
        refused("no slope|is not", by.rewrite, once, by.suppose(equal(one, u)), several, 2 * t)

    def test_rewriting_does_not_divide_by_zero(self):
        quotient = by.same(1 / (t - u), 1 / (t - u))
        refused("no meaning", by.rewrite, quotient, by.suppose(equal(u, t)), sp.zoo, 1 / (t - u))

    def test_rewriting_a_limit_needs_the_equality_near_it(self):
        tends, below = expansion(sp.exp(x), x, 0, none), expansion(x - 1, x, 0, none)
        far = by.specialise(by.axiom("|u| = u"), {u: x - 1})
        refused("a hypothesis is false", by.rewrite, below, far, sp.Abs(x - 1), -one)
        at = by.suppose(equal(one, sp.cos(x)))
        refused("near the limit", by.rewrite, tends, at, sp.exp(x), sp.cos(x))

    @pytest.mark.parametrize(
        ("function", "low", "high", "reason"),
        [
            (-1 / t, -one, one, "whole range"),
            (sp.atan(1 / t), -one, one, "whole range"),
            (sp.Abs(t), -one, one, "whole range"),
            (t, zero, sp.oo, "no limit"),
            (sp.exp(t**2) * (1 - sp.erf(t / sp.sqrt(2))), zero, sp.oo, "no limit"),
            (1 / (2 - sp.erf(t / sp.sqrt(2)) ** 2), zero, sp.oo, "no limit"),
            (t * sp.erf(t / sp.sqrt(2)), zero, sp.oo, "no limit"),
            (sp.exp(-(t**2) / 4), zero, sp.oo, "no limit"),
        ],
    )
    def test_a_rise_is_between_two_ends(self, function, low, high, reason):
        refused(reason, by.rise, slope(function, t), low, high)

    def test_a_rise_supposes_nothing_of_its_variable(self):
        flat = by.suppose(equal(sp.Derivative(t**2, t), zero))
        refused("whole range", by.rise, flat, zero, one)
        refused("no such range", by.rise, slope(t**2, t), zero, t)
        refused("says nothing of a slope", by.rise, by.same(t, t), zero, one)
        rising = by.rewrite(
            by.suppose(above(sp.exp(t)), none), slope(sp.exp(t), t), sp.Derivative(sp.exp(t), t), zero
        )
        refused("between these ends", by.rise, rising, zero, sp.oo)
        assert above(u) in by.rise(rising, zero, u).hypotheses, "it may run backwards"

    def test_slopes_in_an_identity_keep_their_corners(self):
        assert above(t**2) in by.same(sp.Derivative(sp.Abs(t), t), sp.sign(t)).hypotheses
        refused("no slope", by.same, sp.Derivative(self.f, t), zero)
        refused("differ by", by.same, sp.Derivative(t * u, t), t)
        refused("uncaught", by.specialise, slope(sp.sqrt(u), u), {u: -one})

    @pytest.mark.parametrize(
        ("e", "n", "reason"),
        [
            (sp.Abs(t - x), 1, "a hypothesis is false"),
            (sp.sqrt(t + x), 0, "a hypothesis is false"),
            (1 / t, 0, "a hypothesis is false|no meaning"),
            (y, 0, "a hypothesis is false"),
            (t, 2, "no function of orders"),
            (t, -1, "no claim"),
            (t, True, "no claim"),
        ],
    )
    def test_an_expansion_is_of_what_is_smooth(self, e, n, reason):
        sine = expansion(sp.sin(x), x, 1, none)
        refused(reason, by.taylor, e, x, n, {part: (sine, 0) for part in (t, y) if e.has(part)})

    def test_an_expansion_is_of_facts(self):
        forged = Fact(limit(self.f, zero, x), none, none)
        refused("no fact of the kernel's", by.taylor, t, x, 0, {t: (forged, 0)})
        refused("no function of orders", by.taylor, t, x, 0, {t: (by.same(x, x), 0)})
        refused("no function of orders", by.taylor, x, x, 0, {x: (expansion(sp.exp(x), x, 0, none), 0)})
        refused("no fact of the kernel's", by.taylor, t, x, 0, Shifty())
        refused("no fact of the kernel's", by.specialise, by.same(t, t), Shifty({t: one}))

    def test_polar_coordinates_are_of_what_the_integrand_becomes(self):
        plane, ray = TestOtherWays.plane, x * sp.exp(-(x**2) / 2)
        half = by.rewrite(by.same(ray, ray), by.suppose(equal(ray, 2 * ray)), ray, 2 * ray)
        refused("two new names", by.polar, plane, x, w, zero, half)
        refused("two new names", by.polar, plane, x, w, w, by.same(ray, ray))
        refused("two new names", by.polar, plane, x, u, zero, by.same(ray, ray))

    def test_a_limit_is_not_composed_of_an_equality(self):
        g = sp.Function("g", real=True)(y)
        tends, side = by.suppose(limit(g, zero, y)), by.suppose(limit(sp.sign(g), one, y))
        refused("is not 0", by.composed, by.same(x, x), tends, side)
        refused("is not 0", by.composed, by.suppose(above(t)), tends, side)
        refused("may vary", by.composed, expansion(sp.exp(x * y), x, 0, none), tends, side)

    def test_induction_starts_at_zero(self):
        """A count that is positive never is 0, and of a real number not every one is reached."""
        for count in (sp.Symbol("m", integer=True, positive=True), self.f):
            claim = above(count)
            held = by.suppose(above(count + 1), frozenset({claim}))
            refused("no start|does not take", by.induction, claim, count, by.suppose(above(one)), held)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (x + 1, x + 2),
        (sp.sqrt(t**2), t),
        (sp.acos(sp.cos(t)), t),
        (sp.atan(1 / t), sp.pi / 2 - sp.atan(t)),
        (sp.pi, sp.Rational(355, 113)),
        (sp.sqrt(t * u), sp.sqrt(t) * sp.sqrt(u)),
        (sp.Integral(w * t, (w, 0, 1)), sp.Integral(w * u, (w, 0, 1))),
        (sp.Integral(sp.Abs(sp.cos(w)), (w, 0, 4)), sp.Integral(sp.cos(w), (w, 0, 4))),
    ],
)
def test_false_identities(left, right):
    with pytest.raises(Refused):
        Algebra().prove(left, right, none)
