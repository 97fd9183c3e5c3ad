"""Exact arguments of an enclosure: rationals, columns, and perturbations by object or text."""

import functools
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, fmpq

from signmag_jax import perturb
from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval
from signmag_jax.perturb.grouped import ROW
from signmag_jax.perturb.weights import GAUSSIAN, MEAN_MAGNITUDE, NAMED, STUDENT

from . import balls, pools
from .arguments import moments_of, shape_of
from .composition import as_network
from .depth import check_layers
from .exact_layers import Typed, exact_layers
from .law import Law
from .theorem_3 import matched_shift

_CALL = re.compile(r"^\s*(\w+)\s*(?:\((.*)\))?\s*$")
COUNTS = ("depth", "n", "rows")
VECTORS = ("x", "alpha_squared", "column_norm_squared")
NAMES = ("half_mean_abs", "twn", "optimal", "least_squares", "mean_abs", "absmax")
CLASSES: dict[str, Callable[..., Any]] = {
    name: matched_shift if name == "matched_shift" else getattr(perturb, name) for name in balls.PAIRS
}


def arguments(law: Law, given: dict[str, Any]) -> dict[str, Any]:
    """The law's arguments as rationals, lists of them, masks, options, and functions that give (c, v).

    Raises:
      InvalidInput: for what is not exact, lies outside the law's domain, or does not fit together.
    """
    exact = {name: _argument(law, name, value) for name, value in given.items()}
    if isinstance(given.get("weights"), list | tuple):
        if "depth" not in exact:
            raise invalid("one law of weights, several only of chains", given["weights"], "pass one")
        check_layers(given["weights"], int(exact["depth"].p))
    if "perturbation" in exact and "weights" in exact:
        # The law sees them in the perturbation's moments, and in no other way.
        if perturb.find_weights(given["weights"]) != GAUSSIAN:
            _check_under_weights(given["perturbation"])
        exact["perturbation"] = functools.partial(exact["perturbation"], exact.pop("weights"))
    if "x" in exact:
        _check_input(exact["x"])
    if "pool" in exact:
        _check_pool(exact)
    return exact


def number(name: str, value: Any) -> fmpq:
    """The rational that a number or its text stands for exactly.

    Raises:
      InvalidInput: where there is none.
    """
    try:
        if isinstance(value, np.generic | np.ndarray):
            value = value.item()
        fraction = Fraction(value.strip()) if isinstance(value, str) else Fraction(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, AttributeError):
        raise invalid(
            f"{name} is an exact number", value, 'pass an integer, a Fraction or text like "1/100"'
        ) from None
    return fmpq(fraction.numerator, fraction.denominator)


def _argument(law: Law, name: str, value: Any) -> Any:
    allowed = law.arguments[name]
    if name == "weights":
        return _weights(value)
    if name == "network":
        return exact_layers(
            as_network(value, Typed), number, lambda _, own: perturbation(own), lambda _, law: _one_law(law)
        )
    if name == "perturbation":
        return None if value is None and name not in law.required else perturbation(value)
    shape_of(name, value)
    if name == "pool":
        return np.asarray(value)  # checked below with the columns, and then a list
    if isinstance(allowed, tuple):
        return value
    if name in VECTORS and not isinstance(value, str) and np.ndim(value) == 1:
        return [_inside(allowed, name, entry) for entry in value]
    exact = _inside(allowed, name, value)
    if name in COUNTS and exact.q != 1:
        raise invalid(f"{name} is an integer", value, "pass a count")
    return exact


def _inside(allowed: Any, name: str, value: Any) -> fmpq:
    exact = number(name, value)
    if isinstance(allowed, Interval):
        try:
            allowed.require(name, _float(exact))
        except OverflowError:
            raise invalid(allowed.describe(name), value, allowed.fix) from None
    return exact


def _float(exact: fmpq) -> float:
    return float(Fraction(int(exact.p), int(exact.q)))


def _check_input(x: Any) -> None:
    if not isinstance(x, list) or len(x) < 2 or not any(entry != 0 for entry in x):
        raise invalid("x is a vector of at least 2 entries, not all 0", x, "pass one input of the layer")


def _check_pool(exact: dict[str, Any]) -> None:
    """Refuse columns that do not fit each other, as the float64 laws do."""
    columns = exact["alpha_squared"] if "alpha_squared" in exact else exact["x"]
    squares = [columns] if isinstance(columns, fmpq) else columns
    norms = exact.get("column_norm_squared", fmpq(1))
    norms = np.asarray([_float(one) for one in norms] if isinstance(norms, list) else _float(norms))
    # Only which of them are 0 matters here, and a square could underflow.
    pools.check_columns(np.asarray([float(one != 0) for one in squares]), norms, exact["pool"])
    if exact.get("match") == "energy":
        pools.check_weights(norms, exact["pool"])
    exact["pool"] = [bool(inside) for inside in exact["pool"]]


def perturbation(value: Any) -> Callable[[], Any]:
    """A function that gives (c, v) at the precision of the moment.

    Raises:
      InvalidInput: for a perturbation without a ball, or arguments that its class refuses.
    """
    if _is_own(value):
        return _given(value)
    stages = [_stage(one) for one in _stages(value)]
    balls.check_composition(stages)
    return lambda weights=None: balls.composed(stages, weights() if weights else None)


def _weights(value: Any) -> Callable[[], Any]:
    """A function that gives the moments of a law of weights, or a list of one a layer.

    Names stand for exact moments, other laws for those that they state.
    """
    if isinstance(value, list | tuple):
        each = [_one_law(one) for one in value]
        return lambda: [one() for one in each]
    return _one_law(value)


def _one_law(value: Any) -> Callable[[], Any]:
    if isinstance(value, str) and not _is_number(value):
        law = perturb.find_weights(value)
        if value in NAMED and law != GAUSSIAN:
            return lambda: balls.weights.named(value)
        if value.startswith(STUDENT):
            degrees = number("degrees", value.removeprefix(STUDENT))
            return lambda: balls.weights.student_t(degrees)
        value = law
    if isinstance(value, perturb.Weights):
        if value == GAUSSIAN:
            return lambda: None  # what a ball takes for them
        moments = value.mean_magnitude, value.third, value.fourth
        stated = [None if moment is None else number("moment", moment) for moment in moments]
    else:
        stated = [_inside(MEAN_MAGNITUDE, "E|w|/σ", value)]
    b, *rest = stated
    return lambda: balls.weights.Weights(arb(b), *(None if one is None else arb(one) for one in rest))


def _is_number(text: str) -> bool:
    try:
        Fraction(text)
    except (ValueError, ZeroDivisionError):
        return False
    return True


def _check_under_weights(value: Any) -> None:
    """Refuse what takes more of weights that are not Gaussian than b.

    Raises:
      InvalidInput: naming it.
    """
    names = ["" if _is_own(value) else _stage(one)[0] for one in _stages(value)]
    if len(names) > 1 or names[0] not in balls.UNDER_WEIGHTS:
        raise invalid(f"one of {', '.join(balls.UNDER_WEIGHTS)} with weights", value, "pass one of these")


def _is_own(value: Any) -> bool:
    """Whether a perturbation is its moments: not this package's, or one on given weights."""
    if isinstance(value, perturb.Compose):
        return _is_own(value.first) or _is_own(value.second)
    return isinstance(value, perturb.HasMoments) and type(value).__name__ not in balls.PAIRS


def _given(value: perturb.HasMoments) -> Callable[[], Any]:
    """(c, v) of moments as they are returned, binary numbers that stand for themselves.

    Near 1 it is the drift that says what c is, and the noise what v is.
    """
    moments = moments_of(value)
    if any(np.ndim(moment) for moment in moments):
        raise invalid("one pair of moments for an enclosure", np.shape(moments.c), "enclose them singly")
    c, _, drift, noise = (number("moment", moment) for moment in moments)
    overlap = c if abs(c) < fmpq(1, 2) else 1 + drift
    # What rounding brought below 0 is 0: no v is less than c².
    return lambda weights=None: (arb(overlap), arb(overlap * overlap + max(noise, fmpq(0))))


def _stages(value: Any) -> list[Any]:
    """One perturbation after another: of a composition, or of text joined by +."""
    if isinstance(value, str):
        return value.split("+")
    if isinstance(value, perturb.Compose):
        return [*_stages(value.first), *_stages(value.second)]
    return [value]


def _stage(value: Any) -> tuple[str, list[Any]]:
    """Class name and exact arguments, which the class itself has seen."""
    if isinstance(value, perturb.Grouped):
        return _grouped(value.quantizer, value.size)
    if isinstance(value, str) and "@" in value:
        quantizer, _, size = value.partition("@")
        return _grouped(quantizer, int(size) if size.isdecimal() else size)
    if isinstance(value, str):
        name, given = _parse(value)
    else:
        name = type(value).__name__
        given = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else []
    if name not in balls.PAIRS:
        raise invalid(f"perturbation is one of {', '.join(sorted(balls.PAIRS))}", value, "pass one of these")
    exact = [_option(item) for item in given]
    try:
        CLASSES[name](*map(_plain, exact))
    except TypeError:
        raise invalid(f"arguments of {name}", value, "pass its numbers in order, by position") from None
    # The largest of n weights is random: the moments are then a mean over it, which has no ball here.
    if name == "UniformQuantize" and (len(exact) < 2 or exact[1] == "absmax"):
        raise invalid("a step for an enclosure", "absmax", 'pass "mean_abs" or a number of σ')
    return name, exact


def _grouped(quantizer: Any, size: Any) -> tuple[str, list[Any]]:
    """A sign quantiser by groups of that size, which alone has a closed form there; by rows, any."""
    name, given = _stage(quantizer)
    if size == ROW:
        return name, given
    if name != "SignQuantize":
        raise invalid("a sign quantiser in groups for an enclosure", quantizer, "enclose it by tensor")
    one = perturb.Grouped(perturb.SignQuantize(), size)
    return "Grouped", [fmpq(one.size)]


def _plain(item: Any) -> Any:
    """What the class takes; a number of bits is an integer."""
    return item if isinstance(item, str) else int(item.p) if item.q == 1 else _float(item)


def _parse(text: str) -> tuple[str, list[str]]:
    match = _CALL.match(text)
    if match is None:
        raise invalid("perturbation reads Name(number, ...)", text, 'pass text like "SignFlip(1/100)"')
    inside = (match[2] or "").strip()
    parts = [part.strip() for part in inside.split(",")] if inside else []
    return match[1], [part.rpartition("=")[2].strip() for part in parts]


def _option(item: Any) -> Any:
    word = item.strip("'\"") if isinstance(item, str) else item
    return word if word in NAMES else number("perturbation argument", word)
