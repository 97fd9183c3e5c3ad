"""What the source of a proof may not do: reach behind the kernel. The kernel refuses without this, too."""

import ast

_ALLOWED = ("sympy", "signmag_jax.theory.proof", "signmag_jax.theory.rules", "signmag_jax.theory.symbolic")
_STANDARD = ("__future__", "collections.abc", "dataclasses", "functools", "itertools", "typing")
_FORBIDDEN = {
    "__import__", "compile", "delattr", "eval", "exec", "getattr", "globals", "locals", "object", "setattr",
    "type", "vars",
}  # fmt: skip


def objection(source: str) -> str | None:
    """Why the source is not that of a proof, if it is not."""
    for node in ast.walk(ast.parse(source)):
        found = _objection(node)
        if found is not None:
            return f"line {getattr(node, 'lineno', 0)}: {found}"
    return None


def _objection(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return _import(node)
    if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
        return f"a proof may not reach the private name {node.attr}"
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        return f"a proof may not set the attribute {node.attr}"
    if isinstance(node, ast.Name) and node.id in _FORBIDDEN:
        return f"a proof may not use {node.id}"
    return None


def _import(node: ast.Import | ast.ImportFrom) -> str | None:
    modules = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    )
    for name in modules:
        inside = any(name == allowed or name.startswith(f"{allowed}.") for allowed in _ALLOWED)
        if not (inside or name in _STANDARD):
            return f"a proof may not import {name}"
    if any(alias.name.startswith("_") for alias in node.names if alias.name != "_"):
        return "a proof may not import a private name"
    return None
