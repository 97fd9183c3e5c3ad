"""Theorem 4: the sign quantiser keeps cos² = 2/π, and how much of its error is radial."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Fact, Linearity, Product, Using
from signmag_jax.theory.symbolic import (
    cosine_squared,
    linear_radial_fraction,
    sign_quantize,
    sign_radial_fraction,
)
from signmag_jax.theory.symbolic.gaussian import expectation, first, second
from signmag_jax.theory.symbolic.symbols import growth, overlap

TITLE = "Theorem 4: the error of the sign quantiser"
STATEMENT = (
    "For the optimally scaled sign quantiser of Gaussian weights, delocalised input: cos² = 2/π for rows "
    "and for W x; the radial fraction of the error is 1 − 2/π before the ReLU and 2(κ − ½)²/(1/π + ½ − 2κ), "
    "κ = (√(π/2 − 1) + π − acos √(2/π))/π², after it."
)

z, u, c, v = first, second, overlap, growth
half = sp.Rational(1, 2)
noise = sp.Symbol("noise", positive=True)


def prove(proof: Proof) -> None:
    proof.domain |= {c: (half, sp.Rational(9, 10)), v: (1, 2)}
    moments = [
        proof.call(symbol, proof.cite("perturbations", f"sign quantiser: {symbol}")) for symbol in (c, v)
    ]
    _linear(proof, moments)
    _after_relu(proof, moments)


def _linear(proof: Proof, moments: list[Fact]) -> None:
    """Before the ReLU, z' = c z + √(v − c²) u."""
    mass, mean, square = _normal_moments(proof)
    changed = c * z + sp.sqrt(noise) * u
    spare = proof.let(noise, v - c**2, "what z does not explain of z'")

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
    image.step("insert the moments", c**2 + noise, Using(square[z], mass[u], mean[z], mass[z], square[u]))
    image.step("insert the noise", v, Using(spare))

    cosine = proof.start("cos²(W x, W' x)", both.origin**2 / (power.origin * image.origin))
    cosine.step("insert the moments", c**2 / v, Using(both.fact, power.fact, image.fact))
    cosine.step("sign quantiser", 2 / sp.pi, Using(*moments))
    cosine.conclude("cosine of the outputs", cosine_squared(*sign_quantize()))

    along = proof.start("E z(z' − z)", expectation(z * (changed - z), z, u))
    along.step("expand", both.origin - power.origin, Linearity())
    along.step("insert the moments", c - 1, Using(both.fact, power.fact))
    error = proof.start("E(z' − z)²", expectation((changed - z) ** 2, z, u))
    error.step("expand", image.origin + power.origin - 2 * both.origin, Linearity())
    error.step("insert the moments", v + 1 - 2 * c, Using(image.fact, power.fact, both.fact))
    share = proof.start("radial fraction", along.origin**2 / (power.origin * error.origin))
    share.step(
        "insert the moments", (c - 1) ** 2 / (v + 1 - 2 * c), Using(along.fact, error.fact, power.fact)
    )
    share.step("sign quantiser", 1 - 2 / sp.pi, Using(*moments))
    share.conclude("radial fraction before the ReLU", linear_radial_fraction(*sign_quantize()))


def _normal_moments(proof: Proof) -> list[dict[sp.Symbol, Fact]]:
    """E 1, E x and E x² for x = z and x = u, from the one-dimensional results."""
    w = sp.Symbol("w", real=True)
    names = ("total mass", "mean", "second moment")
    facts = [proof.cite("bussgang_constant", name) for name in names]
    powers = (sp.Integer(1), w, w**2)
    return [
        {x: Fact(expectation(power.subs(w, x), x), fact.rhs) for x in (z, u)}
        for power, fact in zip(powers, facts, strict=True)
    ]


def _after_relu(proof: Proof, moments: list[Fact]) -> None:
    laws = {name: proof.cite("theorem_3", name) for name in ("radial energy", "energy")}
    share = proof.start("R = r/e", laws["radial energy"].lhs / laws["energy"].lhs)
    share.step("insert the energies", laws["radial energy"].rhs / laws["energy"].rhs, Using(*laws.values()))
    share.step("sign quantiser", sign_value(), Using(*moments))
    share.conclude("radial fraction after the ReLU", sign_radial_fraction())


def sign_value() -> sp.Expr:
    """R with c = v = 2/π inserted and nothing simplified: √(v − c²) = √((2/π)(1 − 2/π))."""
    b_squared = 2 / sp.pi
    root = sp.sqrt(b_squared * (1 - b_squared))
    kernel = (root + (sp.pi - sp.acos(sp.sqrt(b_squared))) * b_squared) / (2 * sp.pi)
    return 2 * (kernel - half) ** 2 / (b_squared / 2 + half - 2 * kernel)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
