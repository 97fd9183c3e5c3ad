"""A Gaussian second layer keeps the split of the hidden error, up to the factor (d − 1)/m."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Algebra, Fact, Linearity, Using
from signmag_jax.theory.symbolic import output_radial_fraction, output_transverse
from signmag_jax.theory.symbolic.gaussian import expectation
from signmag_jax.theory.symbolic.rmsnorm import projection
from signmag_jax.theory.symbolic.symbols import dimension, rows

TITLE = "A Gaussian second layer"
STATEMENT = (
    "y = W₂h and δy = W₂δ with h, δ in m dimensions given, W₂ of d rows with independent entries N(0, 1/m), "
    "δ = a h + δ⊥ and ⟨h, δ⊥⟩ = 0. Then W₂δ⊥ is independent of y, and for every d and m "
    "E‖P⊥(y) δy‖² = (d − 1)/m ‖δ⊥‖². With R the radial fraction of δ along h, that of the outputs is "
    "R + (1 − R)/d, as a ratio of means over W₂."
)

d, m = dimension, rows
k = sp.Symbol("k", positive=True, integer=True)
hidden, across = sp.IndexedBase("h", real=True), sp.IndexedBase("delta", real=True)
a, inner, y_i, u_i = sp.symbols("a I y_i u_i", real=True)
# ‖h‖², ‖δ⊥‖² and ‖y‖².
signal, rest, squared, spread = sp.symbols("H N Y s", positive=True)
g = sp.Symbol("g", real=True)


def prove(proof: Proof) -> None:
    proof.domain |= {m: (2, 9), d: (2, 9), squared: (1, 5)}
    variance = _rows(proof)
    _projection(proof)
    along, total = _energies(proof, variance)
    _split(proof, along, total)


def _rows(proof: Proof) -> Fact:
    """One row of W₂: its two outputs are Gaussian and uncorrelated, so independent."""
    both = proof.start("E y_i (W₂δ⊥)_i", sp.Sum(hidden[k] * across[k] / m, (k, 1, m)))
    product = sp.Sum(hidden[k] * across[k], (k, 1, m))
    both.step("entries of variance 1/m", product / m, Linearity())
    orthogonal = proof.let(product, sp.Integer(0), "⟨h, δ⊥⟩ = 0")
    both.step("orthogonal", sp.Integer(0), Using(orthogonal))
    both.conclude("the outputs are independent", sp.Integer(0))
    size = proof.start("E (W₂δ⊥)_i²", sp.Sum(across[k] ** 2 / m, (k, 1, m)))
    norm = sp.Sum(across[k] ** 2, (k, 1, m))
    size.step("entries of variance 1/m", norm / m, Linearity())
    size.step("‖δ⊥‖²", rest / m, Using(proof.let(norm, rest, "‖δ⊥‖²")))
    size.lemma("variance of an output")
    return size.fact


def _projection(proof: Proof) -> None:
    """RMSNorm's projection does not see what is parallel to y."""
    chain = proof.start(
        "projection of a y + u", projection(y_i, a * y_i + u_i, a * squared + inner, squared, d)
    )
    chain.step("cancel", sp.sqrt(d) / sp.sqrt(squared) * (u_i - y_i * inner / squared), Algebra())
    chain.conclude("projection of the rest", projection(y_i, u_i, inner, squared, d))


def _energies(proof: Proof, variance: Fact) -> tuple[Chain, Chain]:
    """Given y: ⟨y, W₂δ⊥⟩ is ‖y‖ s g with g standard normal and s² the variance of an output."""
    names, powers = ("total mass", "mean", "second moment"), (sp.Integer(1), g, g**2)
    one, mean, square = (
        Fact(expectation(power, g), proof.cite("bussgang_constant", name).rhs)
        for name, power in zip(names, powers, strict=True)
    )
    parts = [
        proof.let(squared, d * signal / m, "E ‖y‖² = d ‖h‖²/m"),
        proof.let(spread, sp.sqrt(variance.rhs), "standard deviation of an output"),
    ]
    whole = a * squared + spread * sp.sqrt(squared) * g
    along = proof.start("E[⟨y, δy⟩²/‖y‖² | y]", expectation(whole**2 / squared, g))
    along.step(
        "expand",
        a**2 * squared * one.lhs + 2 * a * spread * sp.sqrt(squared) * mean.lhs + spread**2 * square.lhs,
        Linearity(),
    )
    along.step("moments of g", a**2 * squared + spread**2, Using(one, mean, square))
    along.step("mean over y", (a**2 * d * signal + rest) / m, Using(*parts))
    along.lemma("radial energy of the outputs")
    each = proof.start("E[δy_i² | y_i]", expectation((a * y_i + spread * g) ** 2, g))
    each.step(
        "expand",
        a**2 * y_i**2 * one.lhs + 2 * a * spread * y_i * mean.lhs + spread**2 * square.lhs,
        Linearity(),
    )
    each.step("moments of g", a**2 * y_i**2 + spread**2, Using(one, mean, square))
    output = proof.let(y_i, sp.sqrt(signal / m), "E y_i² = ‖h‖²/m")
    each.step("mean over y_i", (a**2 * signal + rest) / m, Using(output, parts[1]))
    each.lemma("energy of an output")
    return along, each


def _split(proof: Proof, along: Chain, each: Chain) -> None:
    left = proof.start("E‖P⊥(y) δy‖²", d * each.origin - along.origin)
    left.step("insert the total", d * each.value - along.origin, Using(each.fact))
    left.step("insert the radial part", (d - 1) * rest / m, Using(along.fact))
    left.conclude("transverse energy of the outputs", output_transverse(rest, d, m))

    share, energy = sp.symbols("R e", positive=True)
    fraction = proof.start("radial fraction of the outputs", along.origin / (d * each.origin))
    value = along.value / (d * each.value)
    fraction.step("insert both", value, Using(along.fact, each.fact))
    hidden_split = (
        proof.let(signal, share * energy / a**2, "a²‖h‖² = R e"),
        proof.let(rest, (1 - share) * energy, "‖δ⊥‖² = (1 − R) e"),
    )
    fraction.step("split of the hidden error", (share * d + 1 - share) / d, Using(*hidden_split))
    fraction.conclude("radial fraction of the outputs", output_radial_fraction(share, d))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
