"""Rules for integrals and sums: linearity, kinks, polar coordinates, products, antiderivatives.

Nothing here asks SymPy to integrate: antiderivatives are given and differentiated.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false, reportReturnType=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from .facts import Refused, written
from .normal import canonical

_ENTIRE = (sp.Symbol, sp.Add, sp.Mul, sp.exp, sp.sin, sp.cos, sp.erf)


@dataclass(frozen=True)
class Linearity:
    """Integrals and sums are linear."""

    kind: ClassVar[str] = "linearity"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        return (lhs - rhs,)


@dataclass(frozen=True)
class SplitLine:
    """∫ over the real line = the sum of its two halves, on each of which |x| and sign x are known."""

    variable: sp.Symbol
    kind: ClassVar[str] = "split at 0"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        split = _replace_integrals(lhs, self.variable, (-sp.oo, sp.oo), self._halves)
        return (split - rhs,)

    def _halves(self, function: sp.Expr, _limits: sp.Tuple) -> sp.Expr:
        half = sp.Dummy("half", positive=True)
        folded = function.subs(self.variable, half) + function.subs(self.variable, -half)
        return sp.Integral(folded.subs(half, self.variable), (self.variable, 0, sp.oo))


@dataclass(frozen=True)
class SplitArc:
    """An arc integral, cut where cosines change sign: |cos X| becomes ± cos X on each piece.

    The ends of the pieces are linear in one angle, `parameter`, which runs over `within`; a sign is
    accepted if X + π/2 + kπ stays in [0, π] at all corners of the region, hence inside it.
    """

    variable: sp.Symbol
    cuts: tuple[sp.Expr, ...]
    parameter: sp.Symbol
    within: tuple[sp.Expr, sp.Expr]
    kind: ClassVar[str] = "split of the arc"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        split = _replace_integrals(lhs, self.variable, (self.cuts[0], self.cuts[-1]), self._pieces)
        return (split - rhs,)

    def _pieces(self, function: sp.Expr, _limits: sp.Tuple) -> sp.Expr:
        total = sp.Integer(0)
        for low, high in zip(self.cuts[:-1], self.cuts[1:], strict=True):
            corners = [
                {self.variable: end.subs(self.parameter, angle), self.parameter: angle}
                for end in (low, high)
                for angle in self.within
            ]
            if any((high - low).subs(self.parameter, angle) < 0 for angle in self.within):
                raise Refused("the cuts are not in order")
            smooth = function.replace(sp.Abs, lambda x, corners=corners: _signed(x, corners))
            if low != high:
                total += sp.Integral(smooth, (self.variable, low, high))
        return total


def _signed(argument: sp.Expr, corners: list[dict]) -> sp.Expr:
    """|cos X| without the bars, from the range of X over the corners of the region."""
    if not isinstance(argument, sp.cos):
        raise Refused(f"cannot tell the sign of {written(argument)}")
    for turns in range(-4, 5):
        shifted = argument.args[0] + sp.pi / 2 + turns * sp.pi
        if all(0 <= shifted.subs(corner) <= sp.pi for corner in corners):
            return (-1) ** turns * argument
    raise Refused(f"{written(argument)} changes its sign on a piece")


@dataclass(frozen=True)
class Polar:
    """∫∫ f(x, y) dx dy over the plane = ∫_0^∞ ∫ f(r cos t, r sin t) r dt dr over one full turn."""

    x: sp.Symbol
    y: sp.Symbol
    radius: sp.Symbol
    angle: sp.Symbol
    start: sp.Expr
    kind: ClassVar[str] = "polar coordinates"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        polar_form = {self.x: self.radius * sp.cos(self.angle), self.y: self.radius * sp.sin(self.angle)}
        jacobian = sp.Matrix(list(polar_form.values())).jacobian([self.radius, self.angle])
        volume = canonical(jacobian.det())
        limits = [(self.radius, 0, sp.oo), (self.angle, self.start, self.start + 2 * sp.pi)]
        planes = [i for i in lhs.atoms(sp.Integral) if len(i.limits) == 2]
        if not planes:
            raise Refused("there is no plane integral")
        for plane in planes:
            if plane.limits != ((self.x, -sp.oo, sp.oo), (self.y, -sp.oo, sp.oo)):
                raise Refused("the integral does not run over the whole plane")
            inside = canonical(plane.function.subs(polar_form, simultaneous=True) * volume)
            lhs = lhs.xreplace({plane: sp.Integral(inside, *limits)})
        return (lhs - rhs,)


@dataclass(frozen=True)
class Product:
    """∫∫ f(x) g(y) dx dy = ∫ f · ∫ g, for limits that do not depend on the other variable."""

    kind: ClassVar[str] = "product of integrals"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        return (lhs.replace(_is_double, self._factor) - rhs,)

    def _factor(self, double: sp.Integral) -> sp.Expr:
        first, second = double.limits
        if first[0] in sp.Tuple(*second[1:]).free_symbols or second[0] in sp.Tuple(*first[1:]).free_symbols:
            raise Refused("the limits of one integral depend on the other variable")
        total = sp.Integer(0)
        for term in sp.Add.make_args(sp.expand(double.function)):
            outer, inner = _split_factors(term, first[0], second[0])
            total += sp.Integral(outer, first) * sp.Integral(inner, second)
        return total


def _is_double(expr: sp.Basic) -> bool:
    return isinstance(expr, sp.Integral) and len(expr.limits) == 2


def _split_factors(term: sp.Expr, x: sp.Symbol, y: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """Factors of a term in x alone and in y alone, with exponentials of sums taken apart."""
    outer, inner = sp.Integer(1), sp.Integer(1)
    for factor in sp.Mul.make_args(term):
        pieces = (
            [sp.exp(part) for part in sp.Add.make_args(sp.expand(factor.args[0]))]
            if isinstance(factor, sp.exp)
            else [factor]
        )
        for piece in pieces:
            if piece.has(x) and piece.has(y):
                raise Refused(f"{written(piece)} does not factor")
            outer, inner = (outer, inner * piece) if piece.has(y) else (outer * piece, inner)
    return outer, inner


@dataclass(frozen=True)
class Antiderivatives:
    """Each one-dimensional integral is F(high) − F(low) for one of the given F, which is differentiated.

    Integrand and F have to be entire in the variable, so that no jump can hide between the limits.
    """

    variable: sp.Symbol
    candidates: tuple[sp.Expr, ...]
    kind: ClassVar[str] = "antiderivative"

    def differences(self, lhs: sp.Expr, rhs: sp.Expr) -> tuple[sp.Expr, ...]:
        if not any(i.limits[0][0] == self.variable for i in lhs.atoms(sp.Integral)):
            raise Refused(f"there is no integral over {self.variable}")
        return (_replace_integrals(lhs, self.variable, None, self._evaluate) - rhs,)

    def _evaluate(self, function: sp.Expr, limits: sp.Tuple) -> sp.Expr:
        left = function
        for candidate in self.candidates:
            left = canonical(sp.diff(candidate, self.variable) - function)
            if left == 0:
                _require_entire(function, self.variable)
                _require_entire(candidate, self.variable)
                return self._end(candidate, limits[2]) - self._end(candidate, limits[1])
        raise Refused(f"no candidate has the derivative {written(function)}: {written(left)} is left over")

    def _end(self, candidate: sp.Expr, end: sp.Expr) -> sp.Expr:
        if end not in (sp.oo, -sp.oo):
            return candidate.subs(self.variable, end)
        return _at_infinity(sp.expand(candidate), self.variable, 1 if end == sp.oo else -1)


def _at_infinity(expr: sp.Expr, x: sp.Symbol, sign: int) -> sp.Expr:
    """Limit of a sum of constants, polynomials times e^{−x²/2} (to 0) and erf(x/√2) (to ±1)."""
    total = sp.Integer(0)
    for term in sp.Add.make_args(expr):
        decay, error = sp.exp(-(x**2) / 2), sp.erf(x / sp.sqrt(2))
        if not term.has(x):
            total += term
        elif not (term / error).has(x):
            total += sign * term / error
        elif not (term / decay).is_polynomial(x):
            raise Refused(f"no limit is known for {written(term)}")
    return total


def _require_entire(expr: sp.Expr, x: sp.Symbol) -> None:
    for part in sp.preorder_traversal(expr):
        if not part.has(x) or isinstance(part, _ENTIRE):
            continue
        if part.is_Pow and part.exp.is_Integer and part.exp > 0:
            continue
        raise Refused(f"{written(part)} is not an entire function of {x}")


def _replace_integrals(
    expr: sp.Expr, variable: sp.Symbol, ends: tuple | None, change: Callable[[sp.Expr, sp.Tuple], sp.Expr]
) -> sp.Expr:
    """Apply `change` to each one-dimensional integral over the variable (with the given ends, if any)."""
    found = [
        whole
        for whole in expr.atoms(sp.Integral)
        if len(whole.limits) == 1 and whole.limits[0][0] == variable
        if ends is None or tuple(whole.limits[0][1:]) == ends
    ]
    if not found:
        raise Refused(f"there is no such integral over {variable}")
    return expr.xreplace({whole: change(whole.function, whole.limits[0]) for whole in found})
