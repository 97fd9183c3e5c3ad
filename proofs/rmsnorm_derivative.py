"""RMSNorm's derivative in any dimension, and when it is the transverse projection."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false, reportReturnType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Differentiate, Using, above
from signmag_jax.theory.symbolic import rmsnorm

TITLE = "RMSNorm's derivative"

d = sp.Symbol("d", positive=True, integer=True)
j = sp.Symbol("j", positive=True, integer=True)
y, delta = sp.Function("y", real=True), sp.Function("delta", real=True)
y_i, delta_i, gain = sp.symbols("y_i delta_i g_i", real=True)
eps = sp.Symbol("epsilon", nonnegative=True)
t, inner = sp.symbols("t S", real=True)
norm, other = sp.symbols("Y D", positive=True)


def total(term: sp.Expr) -> sp.Sum:
    """Sum over the components j = 1 … d."""
    return sp.Sum(term, (j, 1, d))


def prove(proof: Proof) -> None:
    _derivative(proof)
    _radial(proof)
    _projection(proof)
    _only_projection(proof)


def _derivative(proof: Proof) -> None:
    """The derivative of t ↦ N(y + tδ)_i is the law at the point y + tδ, for every t."""
    named = [
        proof.let(norm, total(y(j) ** 2), "Y = ‖y‖²"),
        proof.let(inner, total(y(j) * delta(j)), "S = ⟨y, δ⟩"),
        proof.let(other, total(delta(j) ** 2), "D = ‖δ‖²"),
    ]
    length = proof.start("‖y + tδ‖²", total((y(j) + t * delta(j)) ** 2))
    split = named[0].rhs + 2 * t * named[1].rhs + t**2 * named[2].rhs
    length.step("expand the square", split, Algebra())
    length.step("name the sums", norm + 2 * t * inner + t**2 * other, Using(*named))
    length.lemma("squared length along the line")
    turn = proof.start("⟨y + tδ, δ⟩", total((y(j) + t * delta(j)) * delta(j)))
    turn.step("expand the product", named[1].rhs + t * named[2].rhs, Algebra())
    turn.step("name the sums", inner + t * other, Using(*named[1:]))
    turn.lemma("inner product along the line")

    moved, rho = y_i + t * delta_i, rmsnorm.rms(length.value, d, eps)
    proof.suppose("the norm along the line does not vanish", above(rho**2))
    chain = proof.start("DN(y + tδ)[δ]_i", sp.Derivative(rmsnorm.component(moved, gain, rho), t))
    slope = gain * (delta_i / rho - moved * (inner + t * other) / (d * rho**3))
    chain.step("differentiate", slope, Differentiate())
    chain.conclude("derivative", rmsnorm.derivative(moved, delta_i, turn.value, gain, rho, d))


def _radial(proof: Proof) -> None:
    """Along y itself only ε lets anything through."""
    rho = rmsnorm.rms(norm, d, eps)
    chain = proof.start("DN(y)[y]_i", rmsnorm.derivative(y_i, y_i, norm, gain, rho, d))
    chain.step("collect", gain * y_i * eps / rho**3, Algebra())
    chain.conclude("derivative along y", rmsnorm.radial_derivative(y_i, gain, rho, eps))


def _projection(proof: Proof) -> None:
    """If ε = 0 and g = 1, the derivative is the scaled projection."""
    plain = rmsnorm.rms(norm, d, sp.Integer(0))
    chain = proof.start(
        "DN(y)[δ]_i for ε = 0, g_i = 1", rmsnorm.derivative(y_i, delta_i, inner, sp.Integer(1), plain, d)
    )
    projected = sp.sqrt(d) * (delta_i / sp.sqrt(norm) - y_i * inner / sp.sqrt(norm) ** 3)
    chain.step("collect", projected, Algebra())
    chain.conclude("projection", rmsnorm.projection(y_i, delta_i, inner, norm, d))


def _only_projection(proof: Proof) -> None:
    """The converse: for δ ⟂ y both sides are equal for one g_i only, which depends on ‖y‖ unless ε = 0."""
    rho, zero = rmsnorm.rms(norm, d, eps), sp.Integer(0)
    ours = rmsnorm.derivative(y_i, delta_i, zero, gain, rho, d)
    wanted = rmsnorm.projection(y_i, delta_i, zero, norm, d)
    needed = proof.start("the g_i that makes them equal", wanted / (ours / gain))
    needed.step("divide", sp.sqrt(1 + d * eps / norm), Algebra())
    needed.lemma("the gain that a projection needs")
    some = sp.Symbol("epsilon", positive=True)
    here, there = (needed.value.xreplace({eps: some, norm: each * norm}) for each in (1, 4))
    change = proof.positive("g_i² needed at ‖y‖² = Y less that at 4Y", here**2 - there**2)
    proof.conclude("ε > 0 would need two different gains", change)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
