"""The machinery itself: what it refuses, what it reports, and how proofs are found and run."""

import subprocess
import sys

import pytest
import sympy as sp

from signmag_jax.evidence import InvalidInput
from signmag_jax.theory import proof as proofs
from signmag_jax.theory.proof import Library, Proof, StepFailed, check, folder, load, prove
from signmag_jax.theory.rules import (
    Algebra,
    Antiderivatives,
    Derivative,
    Fact,
    Linearity,
    Polar,
    Product,
    Refused,
    Series,
    SplitArc,
    SplitLine,
    Using,
    balls,
)
from signmag_jax.theory.rules.normal import canonical
from signmag_jax.theory.rules.series import jet
from signmag_jax.theory.symbolic.gaussian import expectation, normal_density

x, y, a = sp.symbols("x y a", positive=True)
w, u = sp.symbols("w u", real=True)


def blank(**options) -> Proof:
    return Proof("example", lambda name: {}, **options)


def test_equal_sides_are_vacuous():
    chain = blank().start("square", (x + 1) ** 2)
    with pytest.raises(StepFailed, match="vacuous"):
        chain.step("nothing", (x + 1) ** 2, Algebra())


def test_a_conclusion_without_a_derivation_is_vacuous():
    with pytest.raises(StepFailed, match="vacuous"):
        blank().start("square", (x + 1) ** 2).conclude("law", x**2 + 2 * x + 1)
    chain = blank().start("square", (x + 1) ** 2).step("expand", x**2 + 2 * x + 1, Algebra())
    with pytest.raises(StepFailed, match="started from the law"):
        chain.conclude("law", (x + 1) ** 2)


def test_a_proof_that_concludes_nothing_is_not_proved(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("TITLE = STATEMENT = 'nothing'\ndef prove(proof):\n    pass\n")
    result = check(load(path), Library())
    assert not result.proved
    assert "no law" in result.failure


def test_the_error_names_the_step_and_what_is_left():
    proof = blank()
    with pytest.raises(StepFailed, match="expand") as caught:
        proof.start("square", (x + 1) ** 2).step("expand", x**2 + 2 * x + 2, Algebra())
    assert caught.value.step == "expand"
    assert caught.value.index == 1


def test_the_symbolic_rule_decides_without_the_balls(monkeypatch):
    monkeypatch.setattr(balls, "refutation", lambda *_: None)
    with pytest.raises(StepFailed, match="differ by"):
        blank().start("square", (x + 1) ** 2).step("expand", x**2 + 2 * x + 2, Algebra())


def test_a_truncated_series_is_not_an_equality():
    chain = blank().start("exponential", sp.exp(x)).step("expand", 1 + x, Series(x, 2))
    with pytest.raises(StepFailed, match="not an equality"):
        _ = chain.fact


def test_a_numerical_remark_is_counted_apart_and_proves_nothing():
    proof = blank()
    proof.numerically("cosine of one", sp.cos(sp.Integer(1)) ** 2 + sp.sin(sp.Integer(1)) ** 2, sp.Integer(1))
    assert [step.counts for step in proof.steps] == [False]
    with pytest.raises(StepFailed, match="no law"):
        proof.finish()
    with pytest.raises(StepFailed):
        proof.numerically("wrong", sp.cos(sp.Integer(1)), sp.Integer(1))


half_line = (w, 0, sp.oo)
REFUSED = [
    (SplitLine(w), expectation(sp.Abs(w), w), sp.Integral(2 * normal_density(w), half_line)),
    (Linearity(), sp.Integral(2 * w, (w, 0, 1)), 3 * sp.Integral(w, (w, 0, 1))),
    (Antiderivatives(w, (-normal_density(w),)), sp.Integral(w * normal_density(w), half_line), sp.Integer(1)),
    (Derivative(x, sp.Integer(0)), sp.asin(x), sp.atan(x)),
    (Derivative(x, sp.Integer(0)), sp.asin(x), sp.asin(x) + 1),
    (Series(x, 3), sp.exp(x), 1 + x + x**2),
    (Using(Fact(x, sp.Integer(2))), x + 1, sp.Integer(2)),
]
NOT_APPLICABLE = [
    (Antiderivatives(w, (w**2,)), sp.Integral(w**2, (w, 0, 1)), sp.Integer(1)),
    (Antiderivatives(w, (-1 / w,)), sp.Integral(w**-2, (w, -1, 1)), sp.Integer(-2)),
    (Antiderivatives(w, (w**2 / 2,)), sp.Integral(w, half_line), sp.Integer(0)),
    (Product(), sp.Integral(sp.cos(w * u), (w, 0, 1), (u, 0, 1)), sp.Integer(0)),
    (Product(), sp.Integral(w * u, (w, 0, u), (u, 0, 1)), sp.Integer(0)),
    (Polar(w, u, x, y, sp.Integer(0)), sp.Integral(w * u, (w, 0, sp.oo), (u, 0, sp.oo)), sp.Integer(0)),
    (
        SplitArc(w, (sp.Integer(0), sp.pi), a, (sp.Integer(0), sp.pi)),
        sp.Integral(sp.Abs(sp.cos(w)), (w, 0, sp.pi)),
        sp.Integer(0),
    ),
    (Using(Fact(y, sp.Integer(2))), x + 1, sp.Integer(2)),
    (Series(x, 2), 1 / x, sp.Integer(0)),
    (Series(x, 2), sp.sqrt(x), sp.Integer(0)),
    (Series(x, 2), sp.exp(x), 1 + x + x**2),
]


@pytest.mark.parametrize(("rule", "lhs", "rhs"), REFUSED)
def test_each_rule_finds_a_difference(rule, lhs, rhs):
    assert any(canonical(difference) != 0 for difference in rule.differences(lhs, rhs))


@pytest.mark.parametrize(("rule", "lhs", "rhs"), NOT_APPLICABLE)
def test_each_rule_refuses_what_it_does_not_cover(rule, lhs, rhs):
    with pytest.raises(Refused):
        rule.differences(lhs, rhs)


def test_the_jump_of_an_antiderivative_cannot_hide():
    """atan(tan x) has derivative 1 almost everywhere; taken as antiderivative of 1 it gives 0 over [0, π]."""
    rule = Antiderivatives(w, (sp.atan(sp.tan(w)),))
    with pytest.raises(Refused):
        rule.differences(sp.Integral(sp.Integer(1), (w, 0, sp.pi)), sp.Integer(0))


@pytest.mark.parametrize(
    "zero",
    [
        sp.sin(x + y) - sp.sin(x) * sp.cos(y) - sp.cos(x) * sp.sin(y),
        sp.sqrt(4 * x**2 - 4 * x**4) - 2 * x * sp.sqrt(1 - x**2),
        sp.sqrt(1 - 2 / sp.pi) * sp.sqrt(sp.pi) - sp.sqrt(sp.pi - 2),
        1 / (sp.sqrt(x + 1) - sp.sqrt(x)) - sp.sqrt(x + 1) - sp.sqrt(x),
        sp.exp(-(x**2) / 2) ** 2 * sp.exp(x**2) - 1,
        sp.Abs(w) ** 2 - w**2,
        sp.sin(2 * sp.asin(x)) - 2 * x * sp.sqrt(1 - x**2),
        (1 - x) ** sp.Rational(3, 2) - (1 - x) * sp.sqrt(1 - x),
    ],
)
def test_the_normal_form_decides_identities(zero):
    assert canonical(zero) == 0
    assert canonical(zero + a / 1000) != 0


def test_series_agree_with_sympy_where_both_are_known():
    expr = sp.atan(sp.sqrt(1 + x) * x) / (x * (1 + x)) + sp.asin(x / 2) + sp.exp(x) / sp.sqrt(1 - x)
    ours = jet(expr, x, 4)
    theirs = [sp.series(expr, x, 0, 4).removeO().coeff(x, k) for k in range(4)]
    assert [sp.simplify(p - q) for p, q in zip(ours, theirs, strict=True)] == [0] * 4


def test_an_enclosure_knows_the_value_of_an_integral():
    integral = expectation(w**4, w)
    assert balls.disagreement(integral - 3, {}) is None
    assert "differ" in balls.disagreement(integral - 3 - sp.Rational(1, 10**20), {})


def test_an_unknown_proof_is_named():
    with pytest.raises(InvalidInput, match=r"theorem_99.*choose from .*theorem_3"):
        prove(["theorem_99"])


def test_results_render():
    (result,) = prove(["bussgang_constant"])
    assert result.proved
    text = result.to_text()
    assert "mean magnitude" in text
    assert "sqrt(2)/sqrt(pi)" in text
    latex = result.to_latex()
    assert latex.count(r"\item") == len(result.steps)
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    assert r"\frac{\sqrt{2}}{\sqrt{\pi}}" in latex


def test_a_wheel_carries_the_proofs_inside_the_package(tmp_path, monkeypatch):
    inside = tmp_path / "signmag_jax" / "proofs"
    inside.mkdir(parents=True)
    (inside / "theorem_3.py").write_text((folder() / "theorem_3.py").read_text(encoding="utf-8"))
    monkeypatch.setattr(proofs, "__file__", str(tmp_path / "signmag_jax" / "theory" / "proof.py"))
    assert folder() == inside
    assert proofs.names() == ["theorem_3"]


@pytest.mark.parametrize(("edit", "code"), [(None, 0), ("2 / sp.pi, moments", 1)])
def test_a_proof_runs_as_a_script(tmp_path, edit, code):
    source = (folder() / "bussgang_constant.py").read_text(encoding="utf-8")
    path = tmp_path / "bussgang_constant.py"
    path.write_text(source if edit is None else source.replace(edit, "3 / sp.pi, moments"), encoding="utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert ("PROVED" if code == 0 else "FAILED") in done.stdout
    assert len(done.stdout.splitlines()) > 15
