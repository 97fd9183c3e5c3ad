"""RMSNorm's derivative in any dimension, and when it is the transverse projection."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false, reportReturnType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Differentiate, Fact, Linearity, Using
from signmag_jax.theory.symbolic import rmsnorm

TITLE = "RMSNorm's derivative"
STATEMENT = (
    "N(y)_i = g_i y_i/ρ, ρ = √(‖y‖²/d + ε), has DN(y)[δ]_i = g_i (δ_i/ρ − y_i ⟨y, δ⟩/(d ρ³)) and "
    "DN(y)[y]_i = g_i y_i ε/ρ³. For d ≥ 2 it is (√d/‖y‖) P⊥(y) at every y ≠ 0 if and only if ε = 0 and all "
    "g_i = 1."
)

d = sp.Symbol("d", positive=True, integer=True)
j = sp.Symbol("j", positive=True, integer=True)
y, delta = sp.IndexedBase("y", real=True), sp.IndexedBase("delta", real=True)
y_i, delta_i, gain = sp.symbols("y_i delta_i g_i", real=True)
eps = sp.Symbol("epsilon", nonnegative=True)
t = sp.Symbol("t", real=True)
norm, other = sp.symbols("Y D", positive=True)
inner = sp.Symbol("S", real=True)


def total(term: sp.Expr) -> sp.Sum:
    """Sum over the components j = 1 … d."""
    return sp.Sum(term, (j, 1, d))


def prove(proof: Proof) -> None:
    proof.domain |= {d: (2, 9), norm: (1, 5), other: (1, 5), inner: (-1, 1), gain: (1, 2)}
    derivative = _derivative(proof)
    _radial(proof, derivative)
    _projection(proof, derivative)
    _only_projection(proof, derivative)


def _derivative(proof: Proof) -> Fact:
    """The derivative of t ↦ N(y + tδ)_i at t = 0."""
    squares = total((y[j] + t * delta[j]) ** 2)
    length = proof.start("‖y + tδ‖²", squares)
    length.step(
        "expand the square",
        total(y[j] ** 2) + 2 * t * total(y[j] * delta[j]) + t**2 * total(delta[j] ** 2),
        Linearity(),
    )
    named = [
        proof.let(total(y[j] ** 2), norm, "Y = ‖y‖²"),
        proof.let(total(y[j] * delta[j]), inner, "S = ⟨y, δ⟩"),
        proof.let(total(delta[j] ** 2), other, "D = ‖δ‖²"),
    ]
    length.step("name the sums", norm + 2 * t * inner + t**2 * other, Using(*named))

    moved = sp.Function("M")(t)
    line = proof.let(moved, gain * (y_i + t * delta_i) / sp.sqrt(squares / d + eps), "N(y + tδ)_i")
    chain = proof.start("DN(y)[δ]_i", sp.Derivative(moved, t))
    inserted = gain * (y_i + t * delta_i) / sp.sqrt(length.value / d + eps)
    chain.step("insert the squared length", sp.Derivative(inserted, t), Using(line, length.fact))
    slope = gain * (
        delta_i / sp.sqrt(length.value / d + eps)
        - (y_i + t * delta_i) * (inner + t * other) / (d * sp.sqrt(length.value / d + eps) ** 3)
    )
    chain.step("differentiate", slope, Differentiate())
    rho = rmsnorm.rms(norm, d, eps)
    chain.step(
        "at t = 0",
        gain * (delta_i / rho - y_i * inner / (d * rho**3)),
        Using(proof.let(t, sp.Integer(0), "the point")),
    )
    return chain.conclude("derivative", rmsnorm.derivative(y_i, delta_i, inner, gain, rho, d))


def _radial(proof: Proof, derivative: Fact) -> None:
    """Along y itself only ε lets anything through."""
    rho = rmsnorm.rms(norm, d, eps)
    chain = proof.start("DN(y)[y]_i", derivative.rhs)
    along = [proof.let(delta_i, y_i, "δ = y"), proof.let(inner, norm, "⟨y, y⟩ = ‖y‖²")]
    chain.step("δ = y", gain * y_i * (1 / rho - norm / (d * rho**3)), Using(*along))
    chain.step("collect", gain * y_i * eps / rho**3, Algebra())
    chain.conclude("derivative along y", rmsnorm.radial_derivative(y_i, gain, rho, eps))


def _projection(proof: Proof, derivative: Fact) -> None:
    """If ε = 0 and g = 1, the derivative is the scaled projection."""
    chain = proof.start("DN(y)[δ]_i for ε = 0, g_i = 1", derivative.rhs)
    plain = [proof.let(eps, sp.Integer(0), "ε = 0"), proof.let(gain, sp.Integer(1), "g_i = 1")]
    chain.step(
        "insert", sp.sqrt(d) * (delta_i / sp.sqrt(norm) - y_i * inner / sp.sqrt(norm) ** 3), Using(*plain)
    )
    chain.conclude("projection", rmsnorm.projection(y_i, delta_i, inner, norm, d))


def _only_projection(proof: Proof, derivative: Fact) -> None:
    """The converse. Let DN(y) be the scaled projection at all y ≠ 0.

    For d ≥ 2 and each i there is δ orthogonal to y with δ_i ≠ 0 (y along another axis, δ along axis i).
    On it the two sides are equal only if g_i has one certain value, which depends on ‖y‖ unless ε = 0.
    """
    orthogonal = proof.let(inner, sp.Integer(0), "δ ⟂ y")
    ours = proof.start("DN(y)[δ]_i for δ ⟂ y", derivative.rhs)
    ours.step("drop ⟨y, δ⟩", gain * delta_i / sp.sqrt(norm / d + eps), Using(orthogonal))
    wanted = proof.start("scaled projection for δ ⟂ y", rmsnorm.projection(y_i, delta_i, inner, norm, d))
    wanted.step("drop ⟨y, δ⟩", sp.sqrt(d) / sp.sqrt(norm) * delta_i, Using(orthogonal))
    needed = proof.start("the g_i that makes them equal", wanted.value / (ours.value / gain))
    needed.step("divide", sp.sqrt(1 + d * eps / norm), Algebra())

    here, there = sp.symbols("g_Y g_4Y", positive=True)
    change = proof.start("g_i² needed at ‖y‖² = Y less that at 4Y", here**2 - there**2)
    both = proof.call(here, needed.fact), proof.call(there, needed.fact.at({norm: 4 * norm}))
    change.step("subtract", 3 * d * eps / (4 * norm), Using(*both))
    change.lemma("two lengths need two gains")
    some = sp.Symbol("epsilon", positive=True)
    proof.positive("ε > 0 would need two different gains", change.value.subs(eps, some))
    gain_at_zero = proof.start("the g_i needed at ε = 0", needed.value)
    gain_at_zero.step("insert", sp.Integer(1), Using(proof.let(eps, sp.Integer(0), "ε = 0")))
    gain_at_zero.lemma("the converse")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
