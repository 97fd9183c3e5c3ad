"""No private name of JAX is imported: they move between its versions without notice."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Public in name, but JAX says of them that they are internal or may change.
INTERNAL = ("jax.interpreters", "jax.extend", "jax.lib", "jaxlib")
FILES = [
    path
    for folder in ("signmag_jax", "proofs", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
]


def private_names(text):
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            continue
        found += [name for name in names if _is_private(name)]
    return found


def _is_private(name):
    root, *rest = name.split(".")
    if root not in ("jax", "jaxlib", "flax"):
        return False
    hidden = any(part.startswith("_") and not part.startswith("__") for part in rest)
    return hidden or any(name == one or name.startswith(one + ".") for one in INTERNAL)


def test_no_private_name_of_jax():
    assert len(FILES) > 200
    found = {str(path.relative_to(ROOT)): private_names(path.read_text()) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    ["from jax._src import clusters", "import jax._src.core as c", "jax._src.distributed.x", "import jaxlib"],
)
def test_a_private_name_is_seen(text):
    assert private_names(text)
    assert not private_names("import jax; from jax.core import Tracer; jax.__version__")
