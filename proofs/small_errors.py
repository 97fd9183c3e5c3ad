"""Small errors of any perturbation: what is left of the block when the gap is taken to leading order.

With noise = τ², the drift is of the first order in τ for coherent errors (shifts, noise), and of the second
for incoherent ones (flips, pruning, fine quantisers).
"""

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import above
from signmag_jax.theory.symbolic.energies import energy, radial_fraction
from signmag_jax.theory.symbolic.small_errors import energy_expansion, radial_fraction_expansion

TITLE = "Small errors"

a, tau = sp.symbols("a tau", positive=True)
CASES = {"coherent": (a * tau, 1), "shrinking": (-a * tau, 1), "incoherent": (-a * tau**2, 2)}


def prove(proof: Proof) -> None:
    """In τ, with the angle as an arctangent; each difference vanishes to the order stated."""
    arctangent = proof.cite("stable_forms", "angle for c > 0")
    noise = tau**2
    for name, (drift, order) in CASES.items():
        proof.suppose(f"{name} errors are small", above(1 + drift))
        c, v = 1 + drift, (1 + drift) ** 2 + noise
        turn = proof.apply(
            "the angle",
            arctangent,
            {sp.Symbol("k", positive=True): c, sp.Symbol("noise", positive=True): noise},
        )
        for law, exact, approximate, size in (
            ("energy", energy(c, v), energy_expansion(drift, noise), noise),
            (
                "radial fraction",
                radial_fraction(c, v),
                radial_fraction_expansion(drift, noise),
                drift**2 / noise,
            ),
        ):
            if law == "radial fraction" and name == "incoherent":
                continue  # too many orders cancel: it is tested, and not derived
            chain = proof.start(f"{law} of {name} errors", (exact - approximate) / size)
            chain.expand("Taylor polynomial", sp.Integer(0), tau, order, turn)
            chain.lemma(f"{law} of {name} errors")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
