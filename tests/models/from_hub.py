"""Run in a process of its own, offline: load by hub name and say what came of it, as JSON.

Usage: python from_hub.py NAME[@REVISION]...
"""

import json
import sys

from signmag_jax import models
from signmag_jax.evidence import SignmagError


def outcome(asked):
    name, _, revision = asked.partition("@")
    try:
        model = models.load(name, revision=revision or None)
    except SignmagError as error:
        return str(error)
    return {"source": model.report.source, "first": float(model.params["norm"][0])}


if __name__ == "__main__":
    print(json.dumps([outcome(asked) for asked in sys.argv[1:]]))
