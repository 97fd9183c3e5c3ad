"""The degree-1 arc-cosine kernel: E[relu(z) relu(z')] of a Gaussian pair, by polar coordinates."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Antiderivatives, Fact, Polar, Product, SplitArc, Using
from signmag_jax.theory.symbolic import cosine_map, kappa
from signmag_jax.theory.symbolic.gaussian import angle, expectation, first, perturbed, relu, second
from signmag_jax.theory.symbolic.symbols import cosine, growth, overlap

TITLE = "The degree-1 arc-cosine kernel"
STATEMENT = (
    "For (z, z') centred Gaussian with variances 1 and v and covariance c = √v cos θ, 0 ≤ θ ≤ π: "
    "E[relu(z) relu(z')] = √v (sin θ + (π − θ) cos θ)/(2π), E relu(z)² = 1/2, E relu(z')² = v/2."
)

theta = sp.Symbol("theta", real=True)
r = sp.Symbol("r", positive=True)
t = sp.Symbol("phi", real=True)
z, u, c, v = first, second, overlap, growth

gauss = sp.exp(-(r**2) / 2)
start = -sp.pi / 2
full_turn = (start, theta - sp.pi / 2, sp.pi / 2, theta + sp.pi / 2, 3 * sp.pi / 2)
polar = Polar(z, u, r, t, start)
cubic = sp.Integral(r**3 * gauss, (r, 0, sp.oo))


def prove(proof: Proof) -> None:
    proof.domain |= {theta: (0, sp.pi), v: (sp.Rational(1, 2), 2), c: (0, sp.Rational(2, 3))}
    radial = proof.start("radial integral", cubic)
    radial.step("integrate", sp.Integer(2), Antiderivatives(r, (-(r**2 + 2) * gauss,)))
    _kernel(proof, radial.fact)
    _square(proof, radial.fact, "second moment", z, sp.Integer(1), theta * 0)
    _square(proof, radial.fact, "perturbed second moment", perturbed(theta), v, theta)


def _kernel(proof: Proof, radial: Fact) -> None:
    overlap_ = sp.cos(t) * sp.cos(t - theta)
    bars = relu(sp.cos(t)) * relu(sp.cos(t - theta))
    chain = proof.start("E[relu(z) relu(z')]", expectation(relu(z) * relu(perturbed(theta)), z, u))
    chain.step(
        "polar coordinates",
        sp.Integral(
            sp.sqrt(v) * r**3 * gauss * bars / (2 * sp.pi), (r, 0, sp.oo), (t, start, start + 2 * sp.pi)
        ),
        polar,
    )
    chain.step(
        "separate radius and angle",
        sp.sqrt(v) / (2 * sp.pi) * cubic * sp.Integral(bars, (t, start, start + 2 * sp.pi)),
        Product(),
    )
    chain.step(
        "both are positive on one arc only",
        sp.sqrt(v) / (2 * sp.pi) * cubic * sp.Integral(overlap_, (t, theta - sp.pi / 2, sp.pi / 2)),
        SplitArc(t, full_turn, theta, (sp.Integer(0), sp.pi)),
    )
    primitive = t * sp.cos(theta) / 2 + sp.sin(2 * t - theta) / 4
    chain.step(
        "integrate over the arc",
        sp.sqrt(v) / (2 * sp.pi) * cubic * (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / 2,
        Antiderivatives(t, (primitive,)),
    )
    chain.step(
        "insert the radial integral",
        sp.sqrt(v) / (2 * sp.pi) * (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)),
        Using(radial),
    )
    chain.lemma("kernel in the angle")
    chain.step(
        "cos θ = c/√v",
        sp.sqrt(v) * (sp.sqrt(1 - c**2 / v) + (sp.pi - angle(c, v)) * c / sp.sqrt(v)) / (2 * sp.pi),
        Using(proof.let(theta, angle(c, v), "the angle of the pair")),
    )
    chain.conclude("kernel in the moments", kappa(c, v))
    normalised = proof.start("the kernel of a normalised pair", 2 * chain.value)
    rho = cosine
    normalised.step(
        "v = 1, c = ρ",
        (sp.sqrt(1 - rho**2) + (sp.pi - sp.acos(rho)) * rho) / sp.pi,
        Using(proof.let(c, rho, "the correlation"), proof.let(v, sp.Integer(1), "unit variance")),
    )
    normalised.conclude("cosine map", cosine_map(rho))


def _square(proof: Proof, radial: Fact, name: str, variable: sp.Expr, v: sp.Expr, turn: sp.Expr) -> None:
    """E relu(z')²: the square of one cosine over half a turn."""
    chain = proof.start(f"E relu² ({name})", expectation(relu(variable) ** 2, z, u))
    bars = relu(sp.cos(t - turn)) ** 2
    whole = (t, start, start + 2 * sp.pi)
    chain.step(
        "polar coordinates", sp.Integral(v * r**3 * gauss * bars / (2 * sp.pi), (r, 0, sp.oo), whole), polar
    )
    chain.step("separate radius and angle", v / (2 * sp.pi) * cubic * sp.Integral(bars, whole), Product())
    arc = (t, turn - sp.pi / 2, turn + sp.pi / 2)
    chain.step(
        "positive on half a turn",
        v / (2 * sp.pi) * cubic * sp.Integral(sp.cos(t - turn) ** 2, arc),
        SplitArc(
            t, (start, turn - sp.pi / 2, turn + sp.pi / 2, 3 * sp.pi / 2), theta, (sp.Integer(0), sp.pi)
        ),
    )
    chain.step(
        "integrate over the arc",
        v / 4 * cubic,
        Antiderivatives(t, (t / 2 + sp.sin(2 * (t - turn)) / 4,)),
    )
    chain.step("insert the radial integral", v / 2, Using(radial))
    chain.lemma(name)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
