"""`signmag law NAME`: one sub-command for each law of the theory."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import derive, law_arguments
from .group import Group, subcommand
from .options import check_plot, emit, prepare, remark, say
from .shared import SHARED, UNUSED_SEED, Option
from .values import FLAG, Kind, filled

if TYPE_CHECKING:
    from signmag_jax.evidence import Estimate
    from signmag_jax.theory.registry import Law

MOST_DIGITS = 1000
OUTPUT = [SHARED["plot"], SHARED["json"], UNUSED_SEED, SHARED["quiet"]]


class Laws(Group):
    """The laws of `theory.LAWS`."""

    what = "law"

    def lines(self) -> Mapping[str, str]:
        """The arguments and the formula of each."""
        from signmag_jax.theory import LAWS

        return {name: f"({', '.join(law.arguments)}) {law.doc}" for name, law in LAWS.items()}

    def plain(self) -> Any:
        """Name, arguments, formula and source of each."""
        from signmag_jax.theory import LAWS

        return [
            {"name": law.name, "arguments": list(law.arguments), "formula": law.doc, "source": law.source}
            for law in LAWS.values()
        ]

    def make(self, name: str) -> Any:
        """The law as a sub-command."""
        from signmag_jax.theory import LAWS

        law = LAWS[name]
        return subcommand(
            name,
            functools.partial(_run, law),
            [*map(functools.partial(_option, law), law.arguments), *_extra(law), *OUTPUT],
            f"{derive.help_of(law.function)}\n\nSource: {law.source}; {law.estimator}; unit: {law.unit}.",
            _example(law),
        )


def _option(law: Law, name: str) -> Option:
    """An argument of a law: where it may lie, what it means and its default."""
    domain = law.arguments[name]
    default = inspect.signature(law.function).parameters[name].default
    help_ = law_arguments.HELPS.get(name) or derive.arguments_of(law.function).get(name, "").rstrip(".")
    required = default is inspect.Parameter.empty
    if isinstance(domain, tuple) and set(domain) == {False, True}:
        kind = FLAG
    elif isinstance(domain, tuple):
        kind = Kind("|".join(map(str, domain)), filled)
    else:
        kind = Kind(law_arguments.metavar(name), filled, law_arguments.join(name))
    if domain is not None and not isinstance(domain, tuple):
        help_ += f"{'; ' if help_ else ''}{domain.describe(name)}"
    help_ = f"{help_}. Required." if required else f"{help_}."
    shown = "" if required else derive.shown(default)
    return Option(name, kind, help_.lstrip(". "), shown, law_arguments.flags(name))


def _extra(law: Law) -> list[Option]:
    options = [
        Option(
            "digits",
            Kind("INTEGER", _digits),
            f"Also a rigorous ball of this many digits, 1 to {MOST_DIGITS}, around one value.",
        )
    ]
    if "rate" in law.arguments:
        range_ = Kind("START:STOP:COUNT", filled)
        options.insert(0, Option("range", range_, "Rates in equal factors: 1e-4:0.5:20."))
    return options


def _digits(text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MOST_DIGITS:
        raise typer.BadParameter(f"--digits takes a whole number from 1 to {MOST_DIGITS}, not {text!r}")
    return int(text)


def _example(law: Law) -> str:
    values = law_arguments.EXAMPLES | law_arguments.MANY_FLIPS.get(law.name, {})
    required = (f"{law_arguments.flags(name)[0]} {values[name]}" for name in law.required)
    return " ".join(["signmag law", law.name, *required])


def _run(
    law: Law,
    *,
    digits: int | None = None,
    plot: Path | None = None,
    json: bool = False,
    seed: int = 0,
    quiet: bool = False,
    **given: Any,
) -> int:
    prepare(quiet=quiet, device="auto")
    from signmag_jax import theory
    from signmag_jax.evidence import InvalidInput

    arguments = law_arguments.values(given)
    axis = law_arguments.axis(arguments)
    if axis is not None and digits is not None:
        raise typer.BadParameter(f"--digits encloses one value: give one {law_arguments.typed([axis])}")
    check_plot(plot)
    law.check(arguments)
    exact = law_arguments.exact(given, arguments) if axis is None else {}
    estimate = _estimate(law, arguments, axis, exact)
    result = {"law": law.name, "formula": law.doc, "source": law.source, **estimate.to_json()}
    if axis is not None:
        result["along"] = {axis: list(arguments[axis])}
    # An option that the expansion does not know, as an activation, leaves none.
    if law.expansion is not None and set(arguments) <= set(theory.LAWS[law.expansion].arguments):
        # Nor is there one outside of its own range.
        with contextlib.suppress(InvalidInput):
            result["expansion"] = _expansion(theory.LAWS[law.expansion], arguments, axis)
    if digits is not None:
        balls = theory.enclose(law.name, digits=digits, **exact)
        result["enclosure"] = [_ball(ball) for ball in balls] if isinstance(balls, list) else _ball(balls)
    if plot is not None:
        _plot(law.name, axis, arguments, estimate, plot)
        remark(f"Written: {plot}", quiet=quiet)
    if json:
        emit(result)
    else:
        _print(result, axis)
    return 0


def _estimate(
    law: Law, arguments: dict[str, Any], axis: str | None, exact: dict[str, Any] | None = None
) -> Estimate:
    """The law's value, enclosed at exact arguments; along `axis`, the result's first, a call for each value.

    Not every law takes an array in every argument, and those that do order their results in various ways.
    """
    import numpy as np

    from signmag_jax import theory
    from signmag_jax.evidence import Estimate

    if axis is None:
        return theory.estimate(law, exact=exact, **arguments)
    first, *rest = ({**arguments, axis: value} for value in arguments[axis])
    estimate = theory.estimate(law, **first)
    named = {**estimate.provenance["arguments"], axis: list(arguments[axis])}
    return Estimate.exact(
        np.stack([estimate.value, *(law(**each) for each in rest)]),
        unit=estimate.unit,
        estimator=estimate.estimator,
        provenance={**estimate.provenance, "arguments": named},
    )


def _expansion(law: Law, arguments: dict[str, Any], axis: str | None) -> dict[str, Any]:
    """A law's expansion at the same arguments."""
    value = _estimate(law, arguments, axis).to_json()["value"]
    return {"law": law.name, "formula": law.doc, "value": value}


def _ball(ball: Any) -> dict[str, str]:
    return {"midpoint": ball.midpoint, "radius": ball.radius}


def _print(result: dict[str, Any], axis: str | None) -> None:
    say(f"{result['law']}: {result['formula']}")
    if axis is None:
        say(_written(result["value"]))
    else:
        for at, value in zip(result["along"][axis], result["value"], strict=True):
            say(f"{axis} = {at:.6g}: {_written(value)}")
    if "expansion" in result:
        say(f"expansion: {_written(result['expansion']['value'])}")
    balls = result.get("enclosure") or []
    for ball in balls if isinstance(balls, list) else [balls]:
        say(f"enclosed: {ball['midpoint']} ± {ball['radius']}")


def _written(value: Any) -> str:
    import numpy as np

    return ", ".join(f"{item:.15g}" for item in np.ravel(value))


def _plot(name: str, axis: str | None, arguments: dict[str, Any], estimate: Estimate, path: Path) -> None:
    """A curve along the argument with several values, or along the layers of a chain."""
    import numpy as np

    from signmag_jax.report import pictures, style

    values = np.asarray(estimate.value)
    if values.size < 2:
        raise typer.BadParameter("--plot draws several values: give several of an argument, or --range")
    along = np.arange(1, values.size + 1) if axis is None else np.asarray(arguments[axis])
    style.save(pictures.curve(axis or "layer", along, values, name, log=axis is not None), path)
