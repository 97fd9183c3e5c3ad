"""Run in a process of its own with four devices: every measurement on one of them and over a mesh, as JSON.

Usage: python on_devices.py FOLDER TEXT; by name, a pair of the plain result and that of the mesh; and one of
leverage with two seeds.
"""

import contextlib
import io
import json
import sys

from measure_verbs import VERBS, arguments

from signmag_jax.cli import run


def found(*call):
    """What the command line prints; an exception names the call if it fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if run([*call, "--json", "--quiet"]):
            raise RuntimeError(f"{call} failed")
    return json.loads(out.getvalue())


if __name__ == "__main__":
    folder, text = sys.argv[1:]
    results = {}
    for name in VERBS:
        call = arguments(name, folder, text)
        results[name] = [found(*call), found(*call, "--mesh", "data=2,tensor=2")]
    call = arguments("leverage", folder, text)
    results["another seed"] = [results["leverage"][0], found(*call, "--seed", "1")]
    print(json.dumps(results))
