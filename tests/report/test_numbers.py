"""Numbers are written so that reading them back loses less than their error."""

import re

from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.report.numbers import evidence, with_error


def read_back(text: str) -> tuple[float, float]:
    """An independent reader of the bracket notation."""
    value, inside = re.fullmatch(r"(-?[\d.]+)\(([\d.]+)\)", text).groups()
    if "." in inside or "." not in value:
        return float(value), float(inside)
    return float(value), float(inside) * 10.0 ** -len(value.split(".")[1])


@given(st.floats(-1e4, 1e4), st.floats(1e-7, 1e3))
def test_value_and_error_survive_the_notation(value, error):
    shown, shown_error = read_back(with_error(value, error))
    assert abs(shown - value) <= 0.051 * error + 1e-12
    assert abs(shown_error - error) <= 0.051 * error


def test_known_cases():
    assert with_error(2.53281, 0.0076) == "2.5328(76)"
    assert with_error(10.5, 3.24) == "10.5(3.2)"
    assert with_error(1234.0, 56.0) == "1234(56)"
    assert with_error(0.995, 0.0996) == "0.99(10)"


@given(st.floats(-1e300, 1e300), st.floats(0, 1e300))
def test_every_error_can_be_written(value, error):
    assert len(with_error(value, error)) < 40


def test_cells_say_why_there_is_no_number():
    assert evidence(None) == "–"
    assert evidence({"status": "NOT RUN", "reason": "x", "estimate": None}) == "NOT RUN"
    unclear = {"value": 3.0, "standard_error": 2.0, "n": 4, "unit": "1"}
    assert evidence({"status": "UNRESOLVED", "reason": "x", "estimate": unclear}).endswith("?")


def test_a_printed_figure_stands_as_it_was_printed():
    def printed(value, error, decimals):
        provenance = {"printed_decimals": decimals}
        return evidence({"value": value, "standard_error": error, "provenance": provenance})

    assert printed(2.61, 0.0, 3) == "2.610"
    assert printed(10.0, 0.0, 0) == "10"
    assert printed(0.4244131815783876, 0.0, None) == "0.4244132"
    assert printed(3.5954, 0.0044, 4) == "3.5954(44)"
