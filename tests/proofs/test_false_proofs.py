"""False theorems as files: the proof is refused, and says why."""

import pytest
import sympy as sp

from signmag_jax.theory import proof_files
from signmag_jax.theory.proof import Library, Proof, StepFailed, check, load
from signmag_jax.theory.rules.sources import objection

HEAD = """import sympy as sp
from signmag_jax.theory.rules import *
from signmag_jax.theory.symbolic.energies import transverse
from signmag_jax.theory.symbolic.perturbations import magnitude_shift, matched_size, sign_flip
TITLE = "false"
t = sp.Symbol("t", real=True)
x, g = sp.symbols("x g", positive=True)
def prove(proof):
"""


def failure(tmp_path, body, library=None):
    path = tmp_path / "attack.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), encoding="utf-8")
    result = check(load(path), library or Library())
    assert not result.proved
    assert result.summary.startswith("FAILED")
    return result.failure


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("proof.let(sp.pi, sp.Integer(3), 'a constant')", "not a new symbol"),
        ("proof.let(t, sp.Integer(1), 'a')\nproof.let(t, sp.Integer(2), 'b')", "not a new symbol"),
        ("proof.start('a', t**2)\nproof.let(t, sp.Integer(2), 'b')", "not a new symbol"),
        ("proof.let(t, t + 1, 'a')", "not a new symbol"),
        (
            "minus = proof.let(g, sp.Integer(-1), 'g')\n"
            "chain = proof.start('g', g).step('insert', sp.Integer(-1), Using(minus))\n"
            "chain.lemma('g = −1')",
            "a hypothesis is false",
        ),
        (
            "gap = proof.let(t, x, 't is a gap')\n"
            "proof.start('t', t).step('gap', x, Using(gap)).lemma('t = x')",
            "vacuous",
        ),
        ("proof.start('a', t).step('b', t + 1, Algebra())", "differ by"),
        ("proof.start('a', t).step('a', t, Algebra())", "vacuous"),
        ("proof.start('a', t).lemma('a')", "vacuous"),
        ("proof.start('a', 2 * t).conclude('b', 2 * t)", "vacuous"),
        (
            "proof.start('sin', sp.sin(x)).expand('first order', x, x, 1).lemma('sin x = x')\n"
            "fact = by.specialise(proof.conclusions['sin x = x'], {x: sp.pi})",
            "free symbols take values",
        ),
        (
            "order = proof.start('sin', sp.sin(x)).expand('first order', x, x, 1).fact\n"
            "proof.start('sin', sp.sin(x)).step('cited', x, Using(order))",
            "of kind order",
        ),
        (
            "whole = sp.Integral(sp.Abs(sp.cos(t * (4 - t))), (t, 0, 4))\n"
            "smooth = sp.Integral(sp.cos(t * (4 - t)), (t, 0, 4))\n"
            "proof.start('a', whole).step('b', smooth, Split(t, (sp.Integer(0), sp.Integer(4))))",
            "sign of",
        ),
        (
            "whole = sp.Integral(t / (sp.pi * (1 + t**2)), (t, -sp.oo, sp.oo))\n"
            "zero = sp.Integer(0)\n"
            "proof.start('Cauchy', whole).step('halves', zero, Split(t, (-sp.oo, zero, sp.oo)))",
            "not known to be defined",
        ),
        (
            "chain = proof.start('atan(1/t)', sp.atan(1 / t))\n"
            "chain.step('complement', sp.pi / 2 - sp.atan(t), Equal(t, sp.Integer(1)))",
            "no interval",
        ),
        (
            "proof.suppose('nothing', above(t - 1), above(-t))\n"
            "proof.conclude('b', proof.positive('c', sp.sqrt(t - 1) * sp.sqrt(-t)))",
            "no point meets the hypotheses",
        ),
        *(
            (
                "f = sp.Function('f', real=True)(1)\n"
                f"a, b = proof.suppose('a', equal(f, {one})), proof.suppose('b', equal(f, {other}))\n"
                "proof.conclude('c', join(inside(g * a.rhs, a), inside(g * f, b)))",
                "no point meets the hypotheses",
            )
            for one, other in (
                ("x", "x + 1"),
                ("x", "-x"),
                ("sp.Function('h', real=True)(t)", "1 + sp.Function('h', real=True)(t)"),
            )
        ),
        *(
            (
                "f, h = (sp.Function(name, real=True)(1) for name in 'fh')\n"
                f"a = proof.suppose('a', *(equal(*sides) for sides in {sides}))\n"
                "proof.conclude('c', inside(g * a.lhs, a))",
                "may have no solution",
            )
            for sides in ("[(f**2, -x)]", "[(f, f + 1)]", "[(abs(f), -x)]")
        ),
        (
            "f = sp.Function('f', real=True)\n"
            "a, b = proof.suppose('a', equal(f(1), 1 + f(2))), proof.suppose('b', equal(f(2), 1 + f(1)))\n"
            "first = inside(g * f(1), a)\n"
            "proof.conclude('c', join(first, inside(first.rhs, b)))",
            "may have no solution",
        ),
        (
            "f, p = sp.Function('f', real=True)(x), sp.Symbol('p', real=True)\n"
            "a, b = proof.suppose('a', limit(f, 0 * x, x)), proof.suppose('b', limit(f, 1 + 0 * x, x))\n"
            "proof.conclude('0 tends to 1', by.taylor(p - t, x, 0, {p: (b, 0), t: (a, 0)}))",
            "no point meets the hypotheses",
        ),
        (
            "proof.suppose('a', above(t))\nproof.conclude('b', proof.positive('c', t))",
            "one of its own hypotheses",
        ),
        ("proof.suppose('a', above(sp.Integer(-1)))", "a hypothesis is false"),
        (
            "two = sp.Symbol('x', real=True)\nproof.conclude('a', by.same(two + x + two, x + 2 * two))\n",
            "vacuous",
        ),
        (
            "other = sp.Symbol('x', real=True)\n"
            "proof.conclude('a', by.same((x + other)**2, x**2 + 2 * x * other + other**2))",
            "two symbols are called x",
        ),
        (
            "whole = sp.Integral(-t**2 * sp.exp(-t**2 / 2), (t, -sp.oo, sp.oo))\n"
            "proof.conclude('a', by.suppose(above(x), frozenset({above(whole)})))",
            "true or false: derive it",
        ),
        ("proof.conclude('a', (1, 2, 3))", "not made by the kernel"),
        (
            "proof.conclusions['a'] = 1\n"
            "proof.start('b', t + t * x).step('c', t * (1 + x), Algebra()).lemma('d')",
            "not made by the kernel",
        ),
        (
            "n = sp.Symbol('n', integer=True, nonnegative=True)\n"
            "proof.conclude('sin 0', by.sequence('sin', n, t, sp.Integer(1), t, True))",
            "'sin' is no name",
        ),
        *(
            (
                "n = sp.Symbol('n', integer=True, nonnegative=True)\n"
                f"proof.conclude('a', by.sequence('{name}', n, t, sp.Integer(1), t, True))",
                f"'{name}' is no name",
            )
            for name in ("sqrt", "cbrt", "tan", "gamma", "log10", "Max")
        ),
        *(
            (
                f"i = sp.Symbol('{name}', real=True)\n"
                "proof.conclude('a', by.same((i + t)**2 - t**2, i**2 + 2 * i * t))",
                f"'{name}' is no name",
            )
            for name in ("I", "E", "zoo", "sqrt", "\N{CYRILLIC SMALL LETTER HA}")
        ),
        (
            "two = sp.Symbol('2', real=True)\n"
            "proof.conclude('a', by.same((two + t)**2 - t**2, two**2 + 2 * two * t))",
            "'2' is no name",
        ),
        (
            "inner = sp.Symbol('x', real=True)\n"
            "whole = sp.Integral(inner * x, (inner, 0, 1))\n"
            "slope = by.same(sp.Derivative(inner**2 * x / 2, inner), inner * x)\n"
            "proof.conclude('∫ x² is x/2', by.rise(slope, sp.Integer(0), sp.Integer(1)))",
            "two symbols are called x",
        ),
        (
            "proof.start('b', t + t * x).step('c', t * (1 + x), Algebra()).lemma('d')\n"
            "proof.conclusions['a'] = by.suppose(equal(sp.pi, sp.Integer(3)))",
            "one of its own hypotheses",
        ),
        ("proof.cite('theorem_99', 'a')", "no such proof"),
        ("pass", "no law"),
        ("raise AttributeError('broken')", "broken"),
    ],
)
def test_it_fails_for_its_reason(tmp_path, body, reason):
    assert reason in failure(tmp_path, body)


@pytest.mark.parametrize("body", ["lambda *_: None", "lambda *_: 3", "lambda *_: (sp.pi, 3)"])
def test_a_tactic_of_ones_own(body):
    """Whatever a tactic returns is a fact of the kernel, or the step is refused."""

    class Handwaving:
        kind = "algebra"
        prove = eval(body)

    with pytest.raises(StepFailed, match="the tactic gives"):
        Proof("pi", Library().conclusions).start("pi", sp.pi).step("clearly", sp.Integer(3), Handwaving())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "fact = proof.cite('theorem_3', 'limit of the transverse ratio')\n"
            "rate = sp.Rational(1, 4)\n"
            "(cf, vf), (cs, vs) = sign_flip(rate), magnitude_shift(matched_size(rate))\n"
            "chain = proof.start('A', transverse(cf, vf) / transverse(cs, vs))\n"
            "chain.step('theorem 3', sp.pi / (sp.pi - 2), Using(fact))",
            "of kind order",
        ),
        (
            "fact = proof.cite('theorem_3', 'limit of the transverse ratio')\n"
            "by.specialise(fact, {fact.claim.variable: sp.Rational(1, 2)})",
            "free symbols take values",
        ),
        (
            "fact = proof.cite('arccos_kernel', 'kernel in the angle')\n"
            "by.specialise(fact, {sp.Symbol('theta', real=True): 2 * sp.pi})",
            "a hypothesis is false",
        ),
        (
            "fact = proof.cite('depth', 'D is positive')\nby.specialise(fact, {x: sp.Integer(3)})",
            "a hypothesis is false",
        ),
    ],
)
def test_a_citation_keeps_what_it_rests_on(tmp_path, library, body, reason):
    assert reason in failure(tmp_path, body, library)


def test_citations_in_a_circle(tmp_path, monkeypatch):
    monkeypatch.setattr(proof_files, "folder", lambda: tmp_path)
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.py").write_text(HEAD + f"    proof.cite('{other}', 'a')\n", encoding="utf-8")
    assert "in a circle: one → two → one" in Library().result("one").failure


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("from signmag_jax.theory.rules.kernel import _sealed", "may not import"),
        ("from signmag_jax.theory.rules.kernel import Fact", "may not import"),
        ("from signmag_jax.theory.rules import kernel", "may not import kernel"),
        ("import signmag_jax.theory.rules", "may not import"),
        ("from sympy import sympify", "private name"),
        ("x = by._made", "private name _made"),
        ("genuine.__closure__", "private name __closure__"),
        ("sp.sympify('__import__')", "private name sympify"),
        ("by.same = None", "set the attribute"),
        ("import os", "may not import os"),
        ("from dataclasses import make_dataclass", "may not import dataclasses"),
        ("class Handwaving: pass", "may not define a class"),
        ("object", "may not use object"),
        ("setattr(a, 'b', 1)", "may not use setattr"),
        ("type('A', (), {})", "may not use type"),
    ],
)
def test_a_proof_does_not_reach_behind_the_kernel(source, reason, tmp_path):
    assert reason in (objection(source) or "")
    path = tmp_path / "attack.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(StepFailed):
        load(path)
