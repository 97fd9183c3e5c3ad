"""What the source of a proof may not do: reach behind the kernel. The kernel refuses without this, too."""

import ast

from . import __all__ as public

_ALLOWED = ("sympy", "signmag_jax.theory.proof", "signmag_jax.theory.rules")
_STANDARD = ("__future__", "collections.abc", "functools", "itertools", "typing")
_FORBIDDEN = {
    "__import__", "compile", "delattr", "eval", "exec", "getattr", "globals", "locals", "object", "open",
    "setattr", "type", "vars",
}  # fmt: skip
# SymPy's doors to what a text says, and to its own modules.
_DOORS = {"S", "core", "lambdify", "nsimplify", "parse_expr", "sympify", "sys", "utilities"}


def objection(source: str) -> str | None:
    """Why the source is not that of a proof, if it is not."""
    for node in ast.walk(ast.parse(source)):
        why = _objection(node)
        if why is not None:
            return f"line {getattr(node, 'lineno', 0)}: {why}"
    return None


def _objection(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return _import(node)
    if isinstance(node, ast.ClassDef):
        return "a proof may not define a class"
    if isinstance(node, ast.Attribute) and (node.attr.startswith("_") or node.attr in _DOORS):
        return f"a proof may not reach the private name {node.attr}"
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        return f"a proof may not set the attribute {node.attr}"
    if isinstance(node, ast.Name) and node.id in _FORBIDDEN:
        return f"a proof may not use {node.id}"
    return None


def _import(node: ast.Import | ast.ImportFrom) -> str | None:
    from_one = isinstance(node, ast.ImportFrom)
    for name in [node.module or ""] if from_one else [alias.name for alias in node.names]:
        laws = from_one and name.partition(".symbolic")[:2] == ("signmag_jax.theory", ".symbolic")
        if not (laws or name in _STANDARD or (name in _ALLOWED and (from_one or name == "sympy"))):
            return f"a proof may not import {name}"
    names = {alias.name for alias in node.names} - {"*"}
    if from_one and node.module == "signmag_jax.theory.rules" and not names <= set(public):
        return f"a proof may not import {', '.join(sorted(names - set(public)))}"
    if any(name.startswith("_") or name in _DOORS for name in names):
        return "a proof may not import a private name"
    return None
