"""What counts as real numbers, in whatever form, and what NumPy alone would read as such; errors show it."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from signmag_jax.evidence.domain import reals
from signmag_jax.evidence.errors import invalid

TENTHS = {
    "float": 0.1,
    "decimal": Decimal("0.1"),
    "fraction": Fraction(1, 10),
    "scalar array": np.array(0.1),
    "masked array without a mask": np.ma.masked_array(0.1),
}


@pytest.mark.parametrize("value", TENTHS.values(), ids=TENTHS)
def test_numbers_in_any_form_are_numbers(value):
    assert reals(value) == 0.1
    np.testing.assert_array_equal(reals([value, value]), [0.1, 0.1])


def test_small_types_keep_their_value():
    assert reals(np.float32(1e-40)) == np.float64(np.float32(1e-40)) != 0
    assert reals(np.bool_(True)) == 1


OTHERS = {
    "text": "0.1",
    "text as objects": np.array(["0.1"], dtype=object),
    "text of any length": np.array(["0.1"], dtype=np.dtypes.StringDType()),
    "bytes as objects": np.array([b"1"], dtype=object),
    "a date as an object": np.array([np.datetime64("2020")], dtype=object),
    "masked in a list": [np.ma.masked, 0.1],
    "masked arrays in a list": [np.ma.masked_array([0.1, 0.2], [True, False])],
    "complex": 0.1 + 0j,
}


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_what_numpy_would_read_as_numbers_is_none(value):
    with pytest.raises(TypeError):
        reals(value)


def test_an_error_keeps_the_spaces_of_a_name_and_takes_one_line():
    assert "'two  spaces.gguf'" in str(invalid("a file", "two  spaces.gguf", "look again"))
    text = str(invalid("one number", np.zeros((4, 5)), "pass one"))
    assert "\n" not in text
    assert text.count("[") == 5
