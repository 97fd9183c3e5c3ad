"""The forms that are computed, without cancellation, equal the textbook forms of the laws."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Algebra, Derivative, Fact, Series, Using
from signmag_jax.theory.symbolic import (
    cosine_map,
    energy,
    flip_energy,
    kappa,
    normalised_change,
    radial,
    residual_transverse,
    sign_flip,
    skip_step,
    transverse,
)
from signmag_jax.theory.symbolic.gaussian import angle
from signmag_jax.theory.symbolic.symbols import amplitude, growth, overlap, rate, state_cosine

TITLE = "Stable forms of the laws"
STATEMENT = (
    "With drift = c − 1, noise = v − c², θ = atan2(√noise, c) and the gap g = √noise − θc: κ = c/2 + g/(2π), "
    "e = (drift² + noise)/2 − g/π, r = (drift + g/π)²/2, T = noise/2 − cg/π − g²/(2π²). The series of "
    "sin θ − θ cos θ used for θ ≤ 1 alternates, terms falling: the error is below the first term left out."
)

c, v, p, q, alpha = overlap, growth, rate, state_cosine, amplitude
half = sp.Rational(1, 2)
drift, gap = sp.symbols("drift g", real=True)
noise, k, theta, y, i = sp.symbols("noise k theta y i", positive=True)


def prove(proof: Proof) -> None:
    proof.domain |= {c: (half, 1), v: (1, 2), k: (half, 1), q: (half, 1), theta: (0, 1)}
    inserted, kernel = _gap(proof)
    _energies(proof, inserted, kernel)
    _series(proof)
    _single_flip(proof)
    _chains(proof)


def _gap(proof: Proof) -> tuple[tuple[Fact, ...], sp.Expr]:
    """The angle is an arctangent in both half planes; κ is linear in the gap."""
    right = proof.start("θ for c = k > 0", sp.acos(k / sp.sqrt(k**2 + noise)))
    right.step("arctangent", sp.atan(sp.sqrt(noise) / k), Derivative(noise, sp.Integer(0)))
    right.lemma("angle for c > 0")
    left = proof.start("θ for c = −k < 0", sp.acos(-k / sp.sqrt(k**2 + noise)))
    left.step("arctangent", sp.pi - sp.atan(sp.sqrt(noise) / k), Derivative(noise, sp.Integer(0)))
    left.lemma("angle for c < 0")

    inserted = (
        proof.let(gap, sp.sqrt(noise) - theta * c, "the gap"),
        proof.let(drift, c - 1, "drift"),
        proof.let(noise, v - c**2, "noise"),
        proof.let(theta, angle(c, v), "θ"),
    )
    root = sp.sqrt(v - c**2)
    textbook = (root + (sp.pi - angle(c, v)) * c) / (2 * sp.pi)
    chain = proof.start("c/2 + g/(2π)", c / 2 + gap / (2 * sp.pi))
    chain.step("insert", textbook, Using(inserted[0], *inserted[2:]))
    chain.conclude("κ", kappa(c, v))
    return inserted, textbook


def _energies(proof: Proof, inserted: tuple[Fact, ...], kernel: sp.Expr) -> None:
    for name, (law, stable, textbook) in {
        "energy": (energy, (drift**2 + noise) / 2 - gap / sp.pi, v / 2 + half - 2 * kernel),
        "radial energy": (radial, (drift + gap / sp.pi) ** 2 / 2, 2 * (kernel - half) ** 2),
        "transverse energy": (transverse, _transverse(), v / 2 - 2 * kernel**2),
    }.items():
        used = inserted if stable.has(drift) else (inserted[0], *inserted[2:])
        chain = proof.start(f"stable {name}", stable)
        chain.step("insert gap, drift and noise", textbook, Using(*used))
        chain.conclude(name, law(c, v))
    sine = proof.start("sin² of the angle between h and h'", 2 * transverse(c, v) / v)
    sine.step("divide", 1 - 4 * kappa(c, v) ** 2 / v, Algebra())
    sine.conclude("sin² from T", normalised_change(c, v))

    c_flip, v_flip = sign_flip(p)
    flips = proof.start("T of flips", _transverse())
    of_rate = (
        proof.let(noise, v_flip - c_flip**2, "noise of flips"),
        proof.let(c, c_flip, "c of flips"),
    )
    flips.step(
        "flips", 2 * p * (1 - p) - (1 - 2 * p) * gap / sp.pi - gap**2 / (2 * sp.pi**2), Using(*of_rate)
    )
    flips.lemma("T of flips in the gap")


def _transverse() -> sp.Expr:
    """T without the cancellation in v/2 − 2κ²."""
    return noise / 2 - c * gap / sp.pi - gap**2 / (2 * sp.pi**2)


def _series(proof: Proof) -> None:
    """sin θ − θ cos θ = Σ_k (−1)^{k+1} 2k/(2k+1)! θ^{2k+1}."""
    terms = [
        (-1) ** (n + 1) * sp.Rational(2 * n, sp.factorial(2 * n + 1)) * theta ** (2 * n + 1)
        for n in range(1, 12)
    ]
    chain = proof.start("sin θ − θ cos θ", sp.sin(theta) - theta * sp.cos(theta))
    chain.step("Taylor polynomial", sp.Add(*terms), Series(theta, 24))
    chain.conclude("eleven terms of the series", _horner(theta))

    # |term k+1|/|term k| = (k + 1)/k · θ²/((2k + 2)(2k + 3)), below 1 for θ ≤ 1, k ≥ 1.
    number = sp.Symbol("n", positive=True)
    fall = proof.start(
        "1 − ratio of successive terms",
        1 - (number + 1) / number * theta**2 / ((2 * number + 2) * (2 * number + 3)),
    )
    fall.step(
        "collect", (2 * number * (2 * number + 3) - theta**2) / (2 * number * (2 * number + 3)), Algebra()
    )
    inside = proof.let(number, 1 + i, "n ≥ 1"), proof.let(theta, 1 / (1 + y), "θ < 1")
    square = (1 + y) ** 2
    top = 9 + 20 * y + 10 * y**2 + (14 * i + 4 * i**2) * square
    fall.step("n ≥ 1, θ < 1", top / (square * (2 * (1 + i) * (2 * i + 5))), Using(*inside))
    fall.lemma("the terms fall")
    proof.positive("the terms fall", fall.value)


def _horner(x: sp.Expr) -> sp.Expr:
    """The polynomial in the order in which it is evaluated."""
    total: sp.Expr = sp.Integer(0)
    for n in range(11, 0, -1):
        total = total * x**2 + sp.Rational((-1) ** (n + 1) * 2 * n, sp.factorial(2 * n + 1))
    return x**3 * total


def _single_flip(proof: Proof) -> None:
    """θ = 2 atan2(α, √((1 − α)(1 + α))) and 1 − J = 2α² − (sin θ − θ cos θ)/π."""
    turn = proof.start("acos(1 − 2α²)", sp.acos(1 - 2 * alpha**2))
    tangent = 2 * sp.atan(alpha / sp.sqrt((1 - alpha) * (1 + alpha)))
    turn.step("arctangent", tangent, Derivative(alpha, sp.Integer(0)))
    chain = proof.start(
        "2α² − (sin θ − θ cos θ)/π", 2 * alpha**2 - (sp.sin(theta) - theta * sp.cos(theta)) / sp.pi
    )
    insert = proof.let(theta, turn.origin, "θ = acos(1 − 2α²)")
    root = sp.sqrt(1 - (1 - 2 * alpha**2) ** 2)
    chain.step("insert θ", 2 * alpha**2 - (root - turn.origin * (1 - 2 * alpha**2)) / sp.pi, Using(insert))
    chain.conclude("energy of one flip", flip_energy(alpha))
    turn.lemma("angle of one flip")


def _chains(proof: Proof) -> None:
    """Moments of a later layer, and the states kept as energies of the difference."""
    defect = sp.Symbol("defect", positive=True)
    one_less = proof.start("1 − q", 1 - q)
    one_less.step("conjugate", (1 - q**2) / (1 + q), Algebra())
    one_less.lemma("1 − q from the sine")
    later = proof.start("noise of a later layer", v - (c * q) ** 2)
    split = proof.let(v, c**2 + noise, "noise"), proof.let(q, sp.sqrt(1 - defect), "defect = 1 − q²")
    later.step("collect", noise + c**2 * defect, Using(*split))
    later.lemma("noise of a later layer")

    kernel = sp.Symbol("kappa", positive=True)
    apart = 1 - q
    along, error = kernel - half - apart, 2 * apart + v / 2 + half - 2 * kernel
    across = error - along**2 / sp.Rational(3, 2)
    v3: Chain = proof.start("sine² after V3", across / (sp.Rational(3, 2) + 2 * along + error))
    v3.step("collect", 1 - (q + kernel) ** 2 / (sp.Rational(3, 2) * (1 + v / 2)), Algebra())
    in_map = sp.sqrt(v) * cosine_map(c * q / sp.sqrt(v)) / 2
    v3.step("insert κ", 1 - skip_step(q, c, v) ** 2, Using(proof.let(kernel, in_map, "κ of the layer")))
    v3.lemma("V3 in energies")

    power, image, cross = sp.symbols("S S' P", positive=True)
    difference = image + power - 2 * cross
    stream = proof.start("E δ² − (E yδ)²/E y²", difference - (cross - power) ** 2 / power)
    stream.step("collect", image - cross**2 / power, Algebra())
    stream.conclude("transverse energy of a stream", residual_transverse(power, image, cross))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
