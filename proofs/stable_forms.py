"""The forms that are computed, without cancellation, equal the textbook forms of the laws."""

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Equal, above, least
from signmag_jax.theory.symbolic.depth import cosine_map, residual_transverse, skip_step
from signmag_jax.theory.symbolic.energies import energy, kappa, normalised_change, radial, transverse
from signmag_jax.theory.symbolic.gaussian import angle
from signmag_jax.theory.symbolic.outliers import flip_energy
from signmag_jax.theory.symbolic.perturbations import sign_flip
from signmag_jax.theory.symbolic.symbols import amplitude, growth, overlap, rate, state_cosine

TITLE = "Stable forms of the laws"

c, v, p, q, alpha = overlap, growth, rate, state_cosine, amplitude
half, zero = sp.Rational(1, 2), sp.Integer(0)
noise, k, theta = sp.symbols("noise k theta", positive=True)


def prove(proof: Proof) -> None:
    proof.suppose("moments of a pair", least(v, c**2))
    _angles(proof)
    _energies(proof)
    _series(proof)
    _single_flip(proof)
    _chains(proof)


def _angles(proof: Proof) -> None:
    """The angle is an arctangent in both half planes, c = k > 0 and c = −k < 0."""
    right = proof.start("θ for c = k > 0", sp.acos(k / sp.sqrt(k**2 + noise)))
    right.step("arctangent", sp.atan(sp.sqrt(noise) / k), Equal(noise, zero))
    right.lemma("angle for c > 0")
    left = proof.start("θ for c = −k < 0", sp.acos(-k / sp.sqrt(k**2 + noise)))
    left.step("arctangent", sp.pi - sp.atan(sp.sqrt(noise) / k), Equal(noise, zero))
    left.lemma("angle for c < 0")


def gap(c: sp.Expr, v: sp.Expr) -> sp.Expr:
    """g = √noise − θc."""
    return sp.sqrt(v - c**2) - angle(c, v) * c


def _transverse(c: sp.Expr, v: sp.Expr) -> sp.Expr:
    """T without the cancellation in v/2 − 2κ²."""
    return (v - c**2) / 2 - c * gap(c, v) / sp.pi - gap(c, v) ** 2 / (2 * sp.pi**2)


def _energies(proof: Proof) -> None:
    """With drift = c − 1 and noise = v − c²; κ is linear in the gap."""
    error = ((c - 1) ** 2 + v - c**2) / 2 - gap(c, v) / sp.pi
    for name, stable, law in (
        ("κ", c / 2 + gap(c, v) / (2 * sp.pi), kappa(c, v)),
        ("energy", error, energy(c, v)),
        ("radial energy", (c - 1 + gap(c, v) / sp.pi) ** 2 / 2, radial(c, v)),
        ("transverse energy", _transverse(c, v), transverse(c, v)),
        ("sin² of the angle between h and h'", 2 * _transverse(c, v) / v, normalised_change(c, v)),
        ("transverse energy of flips", _transverse(*sign_flip(p)), transverse(*sign_flip(p))),
    ):
        chain = proof.start(f"stable {name}", stable)
        chain.step("collect", law, Algebra())
        chain.lemma(name)


def _series(proof: Proof) -> None:
    """sin θ − θ cos θ = Σ_k (−1)^{k+1} 2k/(2k+1)! θ^{2k+1}, whose terms fall for θ ≤ 1."""
    chain = proof.start("sin θ − θ cos θ", sp.sin(theta) - theta * sp.cos(theta))
    terms = [
        (-1) ** (n + 1) * sp.Rational(2 * n, sp.factorial(2 * n + 1)) * theta ** (2 * n + 1)
        for n in range(1, 12)
    ]
    chain.expand("Taylor polynomial", sp.Add(*terms), theta, 23)
    chain.conclude("eleven terms of the series", _horner(theta))
    n = sp.Symbol("n", positive=True)
    proof.suppose("a later term of a small angle", least(n, 1), least(1, theta))
    ratio = (n + 1) / n * theta**2 / ((2 * n + 2) * (2 * n + 3))
    form = (2 * n * (2 * n + 3) - theta**2) / (2 * n * (2 * n + 3))
    square = 4 * n**2 + 6 * n - 1 + (1 - theta) * (1 + theta)
    less = proof.positive("its numerator", 2 * n * (2 * n + 3) - theta**2, form=square)
    proof.conclude(
        "the terms fall", proof.positive("1 − ratio of successive terms", 1 - ratio, less, form=form)
    )


def _horner(x: sp.Expr) -> sp.Expr:
    """The polynomial in the order in which it is evaluated."""
    total: sp.Expr = sp.Integer(0)
    for n in range(11, 0, -1):
        total = total * x**2 + sp.Rational((-1) ** (n + 1) * 2 * n, sp.factorial(2 * n + 1))
    return x**3 * total


def _single_flip(proof: Proof) -> None:
    """θ = 2 atan(α/√((1 − α)(1 + α))) and 1 − J = 2α² − (sin θ − θ cos θ)/π."""
    proof.suppose("an amplitude", above(1, alpha))
    turn = proof.start("acos(1 − 2α²)", sp.acos(1 - 2 * alpha**2))
    tangent = 2 * sp.atan(alpha / sp.sqrt((1 - alpha) * (1 + alpha)))
    turn.step("arctangent", tangent, Equal(alpha, zero))
    turn.lemma("angle of one flip")
    sine, cosine = sp.sin(turn.origin), sp.cos(turn.origin)
    chain = proof.start("2α² − (sin θ − θ cos θ)/π", 2 * alpha**2 - (sine - turn.origin * cosine) / sp.pi)
    if chain.value != flip_energy(alpha):
        chain.step("collect", flip_energy(alpha), Algebra())
    chain.lemma("energy of one flip")


def _chains(proof: Proof) -> None:
    """Moments of a later layer, and the states kept as energies of the difference."""
    kernel, power, image, cross = sp.symbols("kappa S S' P", positive=True)
    proof.suppose("a cosine", above(1 + q))
    apart = 1 - q
    along, error = kernel - half - apart, 2 * apart + v / 2 + half - 2 * kernel
    across = error - along**2 / sp.Rational(3, 2)
    difference = image + power - 2 * cross
    for name, stable, law in (
        ("1 − q from the sine", (1 - q**2) / (1 + q), 1 - q),
        ("noise of a later layer", v - c**2 + c**2 * (1 - q**2), v - (c * q) ** 2),
        (
            "V3 in energies",
            across / (sp.Rational(3, 2) + 2 * along + error),
            1 - (q + kernel) ** 2 / (sp.Rational(3, 2) * (1 + v / 2)),
        ),
        (
            "transverse energy of a stream",
            difference - (cross - power) ** 2 / power,
            residual_transverse(power, image, cross),
        ),
    ):
        chain = proof.start(f"stable {name}", stable)
        chain.step("collect", law, Algebra())
        chain.lemma(name)
    layer = sp.sqrt(v) * cosine_map(c * q / sp.sqrt(v)) / 2
    v3 = proof.begin(chain.proof.conclusions["V3 in energies"])
    v3.at("κ of the layer", {kernel: layer})
    v3.conclude("sine² after V3", 1 - skip_step(q, c, v) ** 2)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
