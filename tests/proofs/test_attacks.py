"""False theorems, each refused by the kernel for its own reason."""

import copy
import pickle

import pytest
import sympy as sp

from signmag_jax.theory.proof import Library, StepFailed, check, load
from signmag_jax.theory.rules import (
    Algebra,
    Claim,
    Equal,
    Refused,
    above,
    by,
    equal,
    expansion,
    genuine,
    least,
)
from signmag_jax.theory.rules.kernel import Fact
from signmag_jax.theory.rules.sources import objection

x, y = sp.symbols("x y", positive=True)
w, t, u = sp.symbols("w t u", real=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
none = frozenset()


def test_a_fact_cannot_be_forged():
    fact = by.same(x + x, 2 * x)
    with pytest.raises(Refused, match="only the rules"):
        Fact(Claim("=", sp.pi, sp.Integer(3)), none, none)
    forged = object.__new__(Fact)
    object.__setattr__(forged, "claim", equal(sp.pi, sp.Integer(3)))
    object.__setattr__(forged, "hypotheses", none)
    object.__setattr__(forged, "trusted", none)
    assert genuine(fact)
    assert not genuine(forged)
    with pytest.raises(Refused, match="no fact of the kernel's"):
        by.inside(sp.pi, forged)
    object.__setattr__(fact, "claim", equal(sp.pi, sp.Integer(3)))
    assert not genuine(fact)
    with pytest.raises(Refused):
        fact.claim = equal(sp.pi, sp.Integer(3))


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda fact: pickle.loads(pickle.dumps(fact))])
def test_a_copy_is_no_fact(twin):
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever refuses to copy, or the kernel
        by.inside(x, twin(by.same(x, x + y - y)))


def test_an_order_is_no_equality():
    order = expansion(sp.sin(x), x, 2, none)
    assert order.claim.kind == "order"
    with pytest.raises(Refused, match="of kind order"):
        by.inside(sp.sin(x), order)
    limit = by.limit(order)
    with pytest.raises(Refused, match="of kind limit"):
        by.inside(sp.sin(x), limit)
    with pytest.raises(Refused, match="free symbols take values"):
        by.specialise(order, {x: sp.pi})


def test_hypotheses_and_assumptions_go_with_a_fact():
    fact = by.suppose(equal(t, sp.Integer(0)))
    with pytest.raises(Refused, match="no hypothesis"):
        by.cut(fact, by.same(x, x))
    assert fact.hypotheses == {equal(t, sp.Integer(0))}
    root = by.same(sp.sqrt(x) ** 2, x)
    with pytest.raises(Refused, match="a hypothesis is false"):
        by.specialise(root, {x: sp.Integer(-1)})
    inverse = by.same(1 / t * (t**2 + t), t + 1)
    with pytest.raises(Refused, match="a hypothesis is false"):
        by.specialise(inverse, {t: sp.Integer(0)})


def test_slopes_do_not_cross_jumps_or_corners():
    with pytest.raises(Refused):
        Equal(t, sp.Integer(1)).prove(sp.atan(1 / t), sp.pi / 2 - sp.atan(t), none)
    corner = by.slope(sp.Abs(t), t)
    assert above(t**2) in corner.hypotheses
    with pytest.raises(Refused, match="no interval"):
        by.along(by.join(corner, by.suppose(above(sp.sign(t)))), sp.Integer(-1))


@pytest.mark.parametrize("function", [w, w / (sp.pi * (1 + w**2)), sp.exp(w), sp.Integer(1)])
def test_what_diverges_is_no_integral(function):
    with pytest.raises(Refused, match=r"not known to (converge|be defined)"):
        by.same(sp.Integral(function, (w, -sp.oo, sp.oo)), sp.Integer(0))


def test_a_pole_inside_the_range_is_seen():
    with pytest.raises(Refused, match="not known to be defined"):
        by.antiderivative(sp.Integral(w**-2, (w, -1, 1)), -1 / w)
    with pytest.raises(Refused):
        by.antiderivative(sp.Integral(sp.Integer(1), (w, 0, sp.pi)), sp.atan(sp.tan(w)))


def test_bound_symbols_are_not_captured():
    integral = sp.Integral(w * t, (w, 0, 1))
    fact = by.same(integral, t / 2 + integral - t / 2)
    with pytest.raises(Refused, match="uncaught"):
        by.specialise(fact, {t: w})
    with pytest.raises(Refused, match="bound"):
        by.inside(integral, by.suppose(equal(w, sp.Integer(1))))
    with pytest.raises(Refused, match="whole range"):
        by.under(sp.Integral(w, (w, 0, 1)), by.suppose(equal(w, sp.Integer(1))))


def test_a_hidden_zero_is_no_divisor():
    machin = 4 * sp.atan(sp.Rational(1, 5)) - sp.atan(sp.Rational(1, 239)) - sp.pi / 4
    try:
        fact = by.limit(expansion(x / (x + machin), x, 1, none))
    except Refused:
        return
    assert any(claim.left == machin**2 for claim in fact.hypotheses), "only if the divisor is not 0"


def test_limits_know_their_side_and_are_not_functions():
    one_sided = by.limit(expansion(sp.exp(x), x, 1, none))
    assert (one_sided.claim.variable, one_sided.claim.order) == (x, 0)
    with pytest.raises(Refused):
        expansion(sp.Abs(x - x**2) / x**2, x, 1, none)
    with pytest.raises(Refused):
        expansion(1 / x, x, 1, none)


def test_false_identities_are_refused():
    for left, right in ((x + 1, x + 2), (sp.sqrt(t**2), t), (sp.acos(sp.cos(t)), t), (sp.pi, sp.Rational(355, 113))):
        with pytest.raises(Refused):
            by.same(left, right)


def test_signs_are_seen_and_not_believed():
    for claim in (above(t), least(t), above(x - y), above(t**2)):
        assert by.suppose(claim).hypotheses == {claim}
    with pytest.raises(Refused, match="false"):
        by.suppose(above(sp.Integer(-1)))
    with pytest.raises(Refused, match="false"):
        by.suppose(above(sp.Integer(0)))


def test_an_induction_needs_its_start_and_its_step():
    q = sp.Function("q_attack", real=True)
    claim = least(q(n))
    base, step = by.suppose(least(q(0))), by.suppose(least(q(n + 1)))
    with pytest.raises(Refused, match="no step"):
        by.induction(claim, n, base, step)
    held = by.suppose(least(q(n + 1)), frozenset({claim, least(q(n) - 1)}))
    with pytest.raises(Refused, match="assumed of the number of steps"):
        by.induction(claim, n, base, held)


def test_a_sequence_is_defined_once():
    by.sequence("attacked", n, t, sp.Integer(1), t + 1, True)
    with pytest.raises(Refused, match="defined already"):
        by.sequence("attacked", n, t, sp.Integer(1), t + 2, True)


def test_two_cases_have_to_be_the_two_cases():
    first = by.suppose(least(y), frozenset({least(t)}))
    with pytest.raises(Refused, match="two cases"):
        by.either(first, first, t)


def test_contradictory_hypotheses_state_nothing(tmp_path):
    assert "no point" in failure(
        tmp_path, "    proof.suppose('a', above(t), above(-t))\n    proof.conclude('b', proof.positive('c', t))\n"
    )


HEAD = """import sympy as sp
from signmag_jax.theory.rules import *
TITLE = "false"
t = sp.Symbol("t", real=True)
def prove(proof):
"""


def failure(tmp_path, body):
    path = tmp_path / "attack.py"
    path.write_text(HEAD + body, encoding="utf-8")
    result = check(load(path), Library())
    assert not result.proved
    return result.failure


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    proof.let(sp.pi, sp.Integer(3), 'a constant')\n", "not a new symbol"),
        ("    proof.let(t, sp.Integer(1), 'a')\n    proof.let(t, sp.Integer(2), 'b')\n", "not a new symbol"),
        ("    proof.start('a', t**2)\n    proof.let(t, sp.Integer(2), 'b')\n", "not a new symbol"),
        ("    proof.start('a', t).step('b', t + 1, Algebra())\n", "differ by"),
        ("    proof.start('a', t).step('a', t, Algebra())\n", "vacuous"),
        ("    proof.cite('theorem_99', 'a')\n", "no such proof"),
        ("    pass\n", "no law"),
        (
            "    class Handwaving:\n        kind = 'a'\n        def prove(self, left, right, given): return None\n"
            "    proof.start('pi', sp.pi).step('b', sp.Integer(3), Handwaving())\n",
            "the tactic gives",
        ),
    ],
)
def test_a_false_proof_fails_for_its_reason(tmp_path, body, reason):
    assert reason in failure(tmp_path, body)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("from signmag_jax.theory.rules.kernel import _sealed", "private name"),
        ("x = by._made", "private name _made"),
        ("import signmag_jax.theory.rules.normal as m\nm.canonical = None", "set the attribute"),
        ("import os", "may not import os"),
        ("object.__new__(Fact)", "may not use object|private name"),
        ("setattr(a, 'b', 1)", "may not use setattr"),
    ],
)
def test_a_proof_does_not_reach_behind_the_kernel(source, reason, tmp_path):
    found = objection(source)
    assert found is not None
    assert any(part in found for part in reason.split("|"))
    path = tmp_path / "attack.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(StepFailed):
        load(path)


def test_algebra_does_not_need_to_be_told(tmp_path):
    assert Algebra().prove((x + 1) ** 2, x**2 + 2 * x + 1, none).trusted == {"normal form"}
