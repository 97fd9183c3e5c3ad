"""Run in a process of its own: every measurement that the command line lists, and what it prints as JSON.

Usage: python every_measurement.py OUT FOLDER TEXT [OPTION ...]

OUT gets the results by name. Of connected processes the first writes it, with what measurements make of every
other record ("resumed"), two of them with split weights ("weights"), a loss fetched from the devices of one
process alone ("own half"), and what is said of two mistakes.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

import jax
import numpy as np
from measure_verbs import MEASUREMENTS, ONCE, arguments, protect_arguments

from signmag_jax.cli import run
from signmag_jax.models import nll


def printed(*call):
    """What the command line prints; an exception names the call if it fails. None in a second process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if run([*call, "--json", "--quiet"]):
            raise RuntimeError(f"{call} failed")
    return json.loads(out.getvalue() or "null")


def refused(*call):
    """The exit code of a mistake, and what is said of it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        return run([*call]), said.getvalue()


def own_half(x):
    """In place of `fetch`: what the devices of this process hold, twice."""
    pieces = {piece.index[0].start or 0: np.asarray(piece.data) for piece in x.addressable_shards}
    half = np.concatenate([pieces[start] for start in sorted(pieces)])
    return np.concatenate([half, half])[: len(x)]


if __name__ == "__main__":
    out, folder, text, *more = sys.argv[1:]
    calls = {name: [*arguments(name, folder, text), *more] for name in MEASUREMENTS}
    calls["protect"] = [*protect_arguments(folder, text), *more]
    kept = {name: [*call, "--resume", f"kept/{name}"] for name, call in calls.items() if name not in ONCE}
    connected = "--distributed" in more
    results = {name: printed(*call) for name, call in (calls | kept if connected else calls).items()}
    results["another seed"] = printed(*calls["leverage"], "--seed", "1")
    if connected:
        for record in sorted(Path("kept").rglob("record-*.json"))[::2]:
            record.unlink()
        results["resumed"] = {name: printed(*call) for name, call in kept.items()}
        weights = ("--mesh", "data=2,tensor=4")
        results["weights"] = {
            name: printed(*calls[name], *weights) for name in ("leverage", "linear-response")
        }
        results["idle process"] = refused(*calls["nll"], "--mesh", "data=4")
        results["another run"] = refused(*kept["leverage"], "--seed", "1")
        nll.fetch = own_half
        results["own half"] = printed(*calls["nll"])
    if jax.process_index() == 0:
        Path(out).write_text(json.dumps(results))
