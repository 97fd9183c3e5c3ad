"""What no argument of a law can be is one line of error, in the law, its ball and its estimate alike."""

import law_examples
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from signmag_jax import theory
from signmag_jax.evidence import SignmagError
from signmag_jax.perturb import Moments, SignFlip
from signmag_jax.theory.balls import BALLS


class Given:
    """A perturbation whose moments may be no moments."""

    def __init__(self, moments):
        self._moments = moments

    def moments(self):
        return self._moments


BAD = {
    "text": "text",
    "nan": float("nan"),
    "infinite": float("inf"),
    "negative": -3.0,
    "complex": 1j,
    "object": object(),
    "ragged": [[1.0, 2.0], [3.0]],
    "mapping": {},
    "array of text": np.array(["a"]),
    "class": SignFlip,
    "no moments": Given(3),
    "moments of text": Given(Moments("a", 1, 1, 1)),
    "bytes": b"x",
    "none in a list": [None],
    "complex numbers": np.array([1.0, 1j, 2.0]),
    "a date": np.datetime64("2020-01-01"),
    "hidden numbers": np.ma.masked_array([0.1, 0.2, 0.3], [True, False, False]),
    "more digits than Python prints": -(10**5000),
    "larger than any float": 10**400,
}


@pytest.mark.parametrize("name", theory.LAWS)
def test_every_argument_of_every_law(name):
    law = theory.LAWS[name]
    for argument in law.arguments:
        # None leaves an optional argument out.
        kinds = BAD | ({"none": None} if argument in law.required else {})
        for kind, bad in kinds.items():
            arguments = law_examples.arguments(law) | {argument: bad}
            for call in (law, lambda **a: theory.estimate(name, **a), lambda **a: theory.enclose(name, **a)):
                # Annotations are checked in tests only; a user's call goes on to the law's own words.
                with pytest.raises((SignmagError, TypeCheckError)) as caught:
                    call(**arguments)
                if isinstance(caught.value, SignmagError):
                    assert "\n" not in str(caught.value), (argument, kind)
    assert not law.arguments or name in BALLS or name == "finite_width_depth_ratios"


def test_text_is_for_balls():
    """They read "1/3" as what it says; NumPy would read "0.3" and stop at "1/3"."""
    x = np.array(["0.1", "0.2", "0.3"])
    for call in (theory.profile_width_slope, theory.profile_width_ratio):
        with pytest.raises(SignmagError, match=r"x is finite.*array\(\['0.1', '0.2', '0.3'\]"):
            call(0.3, x)
    assert float(theory.enclose("profile_width_slope", rate="0.3", x=x)) == pytest.approx(
        theory.profile_width_slope(0.3, x.astype(float)), rel=1e-12
    )


def test_lists_are_arrays():
    for law, arguments in (
        (theory.column_ratio, ([0.1, 0.2], 0.3, 0.05)),
        (theory.profile_pool_leverage, (0.1, [1.0, 2.0, 3.0], [True, False, False])),
        (theory.pool_leverage, ([0.5, 0.3], [1, 2], [True, False])),
    ):
        lists, arrays = law(*arguments), law(*map(np.asarray, arguments))
        np.testing.assert_array_equal(lists, arrays)
