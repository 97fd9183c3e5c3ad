"""Theorem 4: the sign quantiser keeps cos² = 2/π, and how much of its error is radial."""

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Product, Using, by, least
from signmag_jax.theory.symbolic.energies import cosine_squared, sign_radial_fraction
from signmag_jax.theory.symbolic.gaussian import expectation, first, second, weight
from signmag_jax.theory.symbolic.perturbations import linear_radial_fraction, sign_quantize
from signmag_jax.theory.symbolic.symbols import growth, overlap

TITLE = "Theorem 4: the error of the sign quantiser"
z, u, c, v = first, second, overlap, growth


def prove(proof: Proof) -> None:
    proof.suppose("moments of a pair", least(v, c**2))
    quantised = dict(
        zip(
            (c, v), (proof.cite("perturbations", f"sign quantiser: {name}").rhs for name in "cv"), strict=True
        )
    )
    _linear(proof, quantised)
    after = proof.begin(proof.cite("theorem_3", "radial fraction"))
    after.at("sign quantiser", quantised)
    after.conclude("radial fraction after the ReLU", sign_radial_fraction())


def _linear(proof: Proof, quantised: dict) -> None:
    """Before the ReLU, z' = c z + √(v − c²) u."""
    mass, mean, square = _normal_moments(proof)
    noise = v - c**2
    changed = c * z + sp.sqrt(noise) * u

    power = proof.start("E z²", expectation(z**2, z, u))
    power.step("separate", square[z].lhs * mass[u].lhs, Product())
    power.step("insert the moments", sp.Integer(1), Using(square[z], mass[u]))
    both = proof.start("E z z'", expectation(z * changed, z, u))
    both.step(
        "separate", c * square[z].lhs * mass[u].lhs + sp.sqrt(noise) * mean[z].lhs * mean[u].lhs, Product()
    )
    both.step("insert the moments", c, Using(square[z], mass[u], mean[z]))
    image = proof.start("E z'²", expectation(changed**2, z, u))
    image.step(
        "separate",
        c**2 * square[z].lhs * mass[u].lhs
        + 2 * c * sp.sqrt(noise) * mean[z].lhs * mean[u].lhs
        + noise * mass[z].lhs * square[u].lhs,
        Product(),
    )
    image.step("insert the moments", v, Using(square[z], mass[u], mean[z], mass[z], square[u]))

    cosine = proof.start("cos²(W x, W' x)", both.origin**2 / (power.origin * image.origin))
    cosine.step("insert the moments", c**2 / v, Using(both.fact, power.fact, image.fact))
    cosine.lemma("cosine of two outputs")
    cosine.at("sign quantiser", quantised)
    cosine.conclude("cosine of the outputs", cosine_squared(*sign_quantize()))

    along = proof.start("E z(z' − z)", expectation(z * (changed - z), z, u))
    along.step("expand", both.origin - power.origin, Algebra())
    along.step("insert the moments", c - 1, Using(both.fact, power.fact))
    error = proof.start("E(z' − z)²", expectation((changed - z) ** 2, z, u))
    error.step("expand", image.origin + power.origin - 2 * both.origin, Algebra())
    error.step("insert the moments", v + 1 - 2 * c, Using(image.fact, power.fact, both.fact))
    share = proof.start("radial fraction", along.origin**2 / (power.origin * error.origin))
    share.step(
        "insert the moments", (c - 1) ** 2 / (v + 1 - 2 * c), Using(along.fact, error.fact, power.fact)
    )
    share.lemma("radial fraction of two outputs")
    share.at("sign quantiser", quantised)
    share.conclude("radial fraction before the ReLU", linear_radial_fraction(*sign_quantize()))


def _normal_moments(proof: Proof) -> list[dict]:
    """E 1, E x and E x² for x = z and x = u, from the one-dimensional results."""
    facts = [proof.cite("bussgang_constant", name) for name in ("total mass", "mean", "second moment")]
    return [{x: by.specialise(fact, {weight: x}) for x in (z, u)} for fact in facts]


if __name__ == "__main__":
    raise SystemExit(run(__file__))
