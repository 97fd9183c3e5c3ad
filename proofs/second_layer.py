"""A Gaussian second layer keeps the split of the hidden error, up to the factor (d − 1)/m."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Algebra, Using, above, by, equal
from signmag_jax.theory.symbolic.rmsnorm import projection
from signmag_jax.theory.symbolic.second_layer import output_radial_fraction, output_transverse
from signmag_jax.theory.symbolic.symbols import dimension, rows

TITLE = "A Gaussian second layer"

d, m = dimension, rows
k = sp.Symbol("k", positive=True, integer=True)
hidden, across = sp.Function("h", real=True), sp.Function("delta", real=True)
a, inner, y_i, u_i = sp.symbols("a P y_i u_i", real=True)
# ‖h‖², ‖δ⊥‖² and ‖y‖².
signal, rest, squared, spread = sp.symbols("H N Y s", positive=True)
# Those of Proposition 1.
alpha, beta = sp.symbols("alpha beta", real=True)


def prove(proof: Proof) -> None:
    _rows(proof)
    _projection(proof)
    _split(proof, *_energies(proof))


def _rows(proof: Proof) -> None:
    """A row of W₂, entries of variance 1/m: its two outputs are Gaussian and uncorrelated, so independent."""
    product = sp.Sum(hidden(k) * across(k), (k, 1, m))
    orthogonal = proof.suppose("⟨h, δ⊥⟩ = 0", equal(product, sp.Integer(0)))
    both = proof.start("E y_i (W₂δ⊥)_i", sp.Sum(hidden(k) * across(k) / m, (k, 1, m)))
    both.step("entries of variance 1/m", product / m, Algebra())
    both.step("orthogonal", sp.Integer(0), Using(orthogonal))
    both.lemma("the outputs are uncorrelated")
    norm = sp.Sum(across(k) ** 2, (k, 1, m))
    length = proof.suppose("‖δ⊥‖²", equal(norm, rest))
    size = proof.start("E (W₂δ⊥)_i²", sp.Sum(across(k) ** 2 / m, (k, 1, m)))
    size.step("entries of variance 1/m", norm / m, Algebra())
    size.step("‖δ⊥‖²", rest / m, Using(length))
    size.lemma("variance of an output")


def _projection(proof: Proof) -> None:
    """RMSNorm's projection does not see what is parallel to y."""
    chain = proof.start(
        "projection of a y + u", projection(y_i, a * y_i + u_i, a * squared + inner, squared, d)
    )
    chain.step("cancel", sp.sqrt(d) / sp.sqrt(squared) * (u_i - y_i * inner / squared), Algebra())
    chain.conclude("projection of the rest", projection(y_i, u_i, inner, squared, d))


def _energies(proof: Proof) -> tuple[Chain, Chain]:
    """Given y: ⟨y, W₂δ⊥⟩ is ‖y‖ s g with g standard normal and s² = ‖δ⊥‖²/m; E ‖y‖² = d ‖h‖²/m."""
    # Proposition 1 has both, given y: its error is α y + β ξ, this one a y + s ξ.
    given = {alpha: a, beta: spread}
    means = {spread: sp.sqrt(rest / m)}
    along = proof.begin(by.specialise(proof.cite("proposition_1", "radial energy given y"), given))
    along.at("mean over y", {squared: d * signal / m, **means})
    along.conclude("radial energy of the outputs", (a**2 * d * signal + rest) / m)
    each = proof.begin(by.specialise(proof.cite("proposition_1", "energy of a row given y"), given))
    each.at("mean over y_i", {y_i: sp.sqrt(signal / m), **means})
    each.conclude("energy of an output", (a**2 * signal + rest) / m)
    return along, each


def _split(proof: Proof, along: Chain, each: Chain) -> None:
    left = proof.start("E‖P⊥(y) δy‖²", d * each.origin - along.origin)
    left.step("insert both", d * each.value - along.value, Using(each.fact, along.fact))
    left.conclude("transverse energy of the outputs", output_transverse(rest, d, m))

    # a²‖h‖² = R e and ‖δ⊥‖² = (1 − R) e.
    share, energy, factor = sp.symbols("R e a", positive=True)
    proof.suppose("a share", above(1, share))
    fraction = proof.start("radial fraction of the outputs", along.origin / (d * each.origin))
    fraction.step("insert both", along.value / (d * each.value), Using(along.fact, each.fact))
    fraction.at("split of the hidden error", {a: factor})
    fraction.at("shares", {signal: share * energy / factor**2, rest: (1 - share) * energy})
    fraction.conclude("radial fraction of the outputs", output_radial_fraction(share, d))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
