"""Small errors of any perturbation: what is left of the block when the gap is taken to leading order."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Series, Using
from signmag_jax.theory.symbolic import energy_expansion, radial_fraction_expansion
from signmag_jax.theory.symbolic.symbols import growth, overlap

TITLE = "Small errors"
STATEMENT = (
    "With G = noise^{3/2}/(3π): e ≈ (drift² + noise)/2 − G and R ≈ (drift + G)²/η·(1 + x + x²) with "
    "η = drift² + noise, x = 2G/η. "
    "For coherent errors, drift = aτ and noise = k²τ² (shifts, noise), both hold up to O(τ²), relative; for "
    "incoherent ones, drift = aτ² and noise = k²τ² (flips, pruning, fine quantisers), up to O(τ³)."
)

c, v = overlap, growth
a, k, tau = sp.symbols("a k tau", positive=True)
# What stable_forms calls c > 0 and noise.
positive_overlap, positive_noise = sp.symbols("k noise", positive=True)
CASES = {"coherent": (a * tau, 2), "shrinking": (-a * tau, 2), "incoherent": (-a * tau**2, 3)}


def prove(proof: Proof) -> None:
    """In τ, with the angle as an arctangent; each difference vanishes to the order stated."""
    proof.domain |= {v: (1, 2), c: (sp.Rational(1, 2), sp.Rational(9, 10))}
    energy, radial = proof.cite("theorem_3", "energy"), proof.cite("theorem_3", "radial energy")
    arctangent = proof.cite("stable_forms", "angle for c > 0")
    noise = k**2 * tau**2
    for name, (drift, order) in CASES.items():
        overlap_, growth_ = 1 + drift, (1 + drift) ** 2 + noise
        inserted = proof.let(c, overlap_, f"c of {name} errors"), proof.let(v, growth_, f"v of {name} errors")
        turn = arctangent.at({positive_overlap: overlap_, positive_noise: noise})
        whole = proof.start(f"e of {name} errors", energy.rhs)
        along = proof.start(f"r of {name} errors", radial.rhs)
        for chain in (whole, along):
            value = chain.value.subs({c: overlap_, v: growth_}, simultaneous=True)
            chain.step("moments", value, Using(*inserted))
            chain.step("arctangent", value.subs(turn.lhs, turn.rhs), Using(turn))
        _agree(proof, f"energy of {name} errors", whole.value, energy_expansion(drift, noise), noise, order)
        law = radial_fraction_expansion(drift, noise)
        size = drift**2 / noise
        _agree(proof, f"radial fraction of {name} errors", along.value / whole.value, law, size, order)


def _agree(proof: Proof, name: str, exact: sp.Expr, law: sp.Expr, size: sp.Expr, order: int) -> None:
    """(exact − law)/size has no term below τ^order."""
    chain = proof.start(name, (exact - law) / size)
    chain.step("Taylor polynomial", sp.Integer(0), Series(tau, order))
    chain.conclude(name, sp.Integer(0))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
