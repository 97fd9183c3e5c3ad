"""A small ledger with every kind of cell, built through the same code as a real one."""

import pytest

from signmag_jax.claims import ledger as ledgers
from signmag_jax.claims.claim import Claim, Missing
from signmag_jax.evidence import Estimate


def _number(value, error=0.0):
    return Estimate(value, error, 64 if error else 0, "1", "test")


@pytest.fixture
def small_ledger():
    routes = {
        "published": lambda: _number(2.639, 0.003),
        "predicted": lambda: _number(2.64408),
        "simulated": lambda: _number(2.6448, 0.0013),
    }
    claims = [
        Claim(
            "a.reproduced", "ours", "Theorem 3", "A statement with <angle> brackets.", routes,
            compare=(("predicted", "simulated"),), rival=lambda: 2.668, rival_is="infinite width",
        ),
        Claim("a.not_run", "open", "9.5", "Another.", {"measured": lambda: Missing("NOT RUN", "no model")}),
        Claim(
            "a.failing", "ours", "made up", "A wrong claim.",
            {"predicted": lambda: _number(2.0), "simulated": routes["simulated"]},
            compare=(("predicted", "simulated"),), rival=lambda: 2.64408, rival_is="the right answer",
        ),
    ]  # fmt: skip
    pictures = {
        "transverse_ratio": {
            "rate": [0.001, 0.01, 0.1], "exact": [2.73, 2.67, 2.29], "paper_formula": [2.7, 2.6, 2.1],
            "published": {"rate": [0.01], "value": [2.639], "standard_error": [0.003]},
            "simulated": {"simulated, width 64": {"rate": [0.01], "value": [2.53], "standard_error": [0.01]}},
            "limit": 2.75,
        },
        "column_slopes": {"attention_in": [[0.0, 1.0], [0.5, 2.0]]},
    }  # fmt: skip
    provenance = {
        "versions": {}, "device": {}, "threads": 2, "seed": 0,
        "model": {"name": "a model"}, "text": {"source": "a text"},
    }  # fmt: skip
    return ledgers.assemble(
        ledgers.fill(claims, {}),
        level={"name": "quick"},
        provenance=provenance,
        pictures=pictures,
        comparisons=2,
    )
