"""The scripts of `benchmarks/` as modules: what they make and measure is tested as well."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def imported(name):
    """A script that imports no other one later: its folder is on the path meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module(name)
