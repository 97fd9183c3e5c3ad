"""The page of all laws: formula, domain, source and picture, from the registry."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import sympy as sp
from mathml import mathml

from signmag_jax.cli import derive, law_arguments
from signmag_jax.evidence import InvalidInput
from signmag_jax.report import pictures, style
from signmag_jax.theory import LAWS, Law
from signmag_jax.theory.symbolic.forms import FORMS, WITHOUT_FORM
from signmag_jax.theory.symbolic.perturbations import Pair

LONGEST = 700  # characters of LaTeX: what is longer explains nothing
RATES = np.geomspace(1e-4, 0.4, 30)
SYMBOLS: dict[str, Any] = {
    "rate": sp.Symbol("p", positive=True),
    "n": sp.Symbol("n", positive=True),
    "rows": sp.Symbol("m", positive=True),
    "outputs": sp.Symbol("d", positive=True),
    "alpha": sp.Symbol("alpha", positive=True),
    "share": sp.Symbol("s", positive=True),
    "fraction": sp.Symbol("f", positive=True),
    "perturbation": Pair(sp.Symbol("c", real=True), sp.Symbol("v", positive=True)),
}
VALUES = {"n": 512, "rows": 64, "share": 0.3, "fraction": 0.05, "depth": 6}
HEAD = """# Laws

Each is a float64 array function of `signmag_jax.theory`, differentiable, right to 1e-12 on the domain that
stands here, and enclosed in a rigorous ball by `signmag law NAME --digits 30`. A formula is the symbolic form
that a test compares with the numeric one: *p* is the flip rate, *n* the inputs, *m* the rows, *c* and *v* the
moments E w w′/σ² and E w′²/σ² of a perturbation.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n\n".join([HEAD, *("\n\n".join(_law(law)) for law in LAWS.values())])


def _law(law: Law) -> Iterator[str]:
    yield f"## `{law.name}`"
    yield law.doc
    yield _formula(law)
    yield "\n".join(f"- `{name}`: {_domain(law, name)}" for name in law.arguments) or "It takes no argument."
    expansion = f" Its expansion is [`{law.expansion}`](#{law.expansion})." if law.expansion else ""
    yield f"Source: {law.source}; {law.estimator}; unit {law.unit}.{expansion}"
    if _drawn(law):
        title = f"{law.name} against the flip rate"
        yield f"<figure>{style.embedded(style.svg(_curve(law)), law.name, title)}</figure>"


def _formula(law: Law) -> str:
    if law.name in WITHOUT_FORM:
        return f"No closed expression: {WITHOUT_FORM[law.name]}."
    form = FORMS[law.name]
    taken = inspect.signature(form).parameters
    wanted = [name for name, each in taken.items() if each.default is inspect.Parameter.empty]
    if not set(wanted) <= set(SYMBOLS):
        return f"Its form depends on the number of columns or layers: {_where(law)} builds it."
    latex = sp.latex(form(**{name: SYMBOLS[name] for name in wanted}))
    if len(latex) > LONGEST:
        return f"A long expression: {_where(law)} builds it."
    return mathml(latex)


def _where(law: Law) -> str:
    return f"`FORMS[{law.name!r}]` of `theory.symbolic.forms`"


def _domain(law: Law, name: str) -> str:
    domain = law.arguments[name]
    default = inspect.signature(law.function).parameters[name].default
    says = [law_arguments.HELPS.get(name) or derive.arguments_of(law.function).get(name, "").rstrip(".")]
    if isinstance(domain, tuple):
        says.append(f"one of {', '.join(f'`{value}`' for value in domain)}")
    elif domain is not None:
        says.append(f"`{domain.describe(name)}`")
    if default is not inspect.Parameter.empty:
        says.append(f"`{default}` by default")
    return "; ".join(filter(None, says))


def _drawn(law: Law) -> bool:
    required = set(law.required)
    return "rate" in required and required - {"rate"} <= set(VALUES)


def _curve(law: Law) -> Any:
    others = {name: VALUES[name] for name in law.required if name != "rate"}
    rates = RATES[law.arguments["rate"].contains(RATES)]
    values = {rate: _value(law, rate=float(rate), **others) for rate in rates}
    held = {rate: value for rate, value in values.items() if value is not None}
    named = ", ".join(f"{name} = {value}" for name, value in others.items())
    title = f"{law.name} ({named})" if named else law.name
    return pictures.curve("flip rate p", list(held), np.array(list(held.values())), title)


def _value(law: Law, **arguments: Any) -> Any:
    """A law's values, or None where it refuses: an expansion outside of its range."""
    with contextlib.suppress(InvalidInput):
        return np.ravel(law(**arguments))
