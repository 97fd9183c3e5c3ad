"""What moved between two ledgers."""

import copy

from signmag_jax.claims import diff


def row(name, value, error, verdict="REPRODUCED"):
    cell = {"value": value, "standard_error": error, "n": 9, "unit": "1", "estimator": "t", "provenance": {}}
    return {
        "name": name,
        "verdict": verdict,
        "published": None,
        "predicted": None,
        "simulated": cell,
        "measured": None,
    }


def test_moves_are_counted_in_standard_errors():
    before = {"rows": [row("a", 2.0, 0.3), row("b", 1.0, 0.1), row("gone", 1.0, 0.1)]}
    after = copy.deepcopy(
        {"rows": [row("a", 4.5, 0.4, "DISAGREES"), row("b", 1.0, 0.1), row("new", 1.0, 0.1)]}
    )
    found = diff(before, after)
    (change,) = found["changed"]
    assert change["name"] == "a"
    assert change["verdict"] == ["REPRODUCED", "DISAGREES"]
    assert abs(change["moved"]["simulated"]["standard_errors"] - 5.0) < 1e-12
    assert found["only_in_first"] == ["gone"]
    assert found["only_in_second"] == ["new"]
    assert found["unchanged"] == 1


def test_exact_values_that_move_are_not_infinitely_many_errors():
    found = diff({"rows": [row("a", 2.0, 0.0)]}, {"rows": [row("a", 2.5, 0.0)]})
    assert found["changed"][0]["moved"]["simulated"]["standard_errors"] is None
