"""Every measurement of the command line by name, with options that keep it tiny."""

import inspect

from signmag_jax.cli import derive, measure, run
from signmag_jax.measure.registry import MEASUREMENTS

PLACE = ("--layers", "0", "--matrices", "up_proj")
DERIVATIVES = ("--windows", "2", "--probes", "2", *PLACE)

# Options, and a line that the terminal shows.
VERBS = {
    "alpha": ((), "largest α²"),
    "quantization": (("--layers", "0", "--matrices", "q_proj"), "cos², ternary, real"),
    "leverage": (("--rates", "0.1,0.2", "--draws", "2"), "rate 0.2"),
    "all-columns": (("--rates", "0.1", "--draws", "2"), "flips over shifts"),
    "metrics": (("--perturbation", "flip:0.05", "--draws", "2"), "kl"),
    "outlier-flips": (("--rate", "0.1", "--draws", "2"), "outlier over rest"),
    "column-flips": (
        ("--columns", "5", "--layers", "1", "--matrices", "up_proj,q_proj"),
        "layer 1 q_proj, α²‖w‖²: rank correlation",
    ),
    "flip-energies": (("--columns", "5", "--rate", "0.2", "--draws", "2"), "normalised: rank correlation"),
    "trained-chain": (("--rates", "0.05", "--draws", "2"), "C_1..C_"),
    "quantization-report": (
        ("--quantizers", "sign", "--layers", "0", "--matrices", "o_proj", "--mask", "mask.json"),
        "layer 0 o_proj, sign",
    ),
    "outlier-definitions": (("--rate", "0.4", "--draws", "2", "--matrices", "up_proj"), "LLM.int8"),
    "rotation": (("--rate", "0.1", "--draws", "2"), "nll rotated − trained"),
    "linear-response": (DERIVATIVES, "predicted count-matched leverage"),
    "columns": (DERIVATIVES, "resolved columns, gauss_newton"),
    "deciding-weights": ((*DERIVATIVES, "--verified", "5"), "pool's slope that they carry"),
    "sensitivity": (("--windows", "2", "--draws", "2", *PLACE), "leverage, tokenwise"),
    "incoherent-errors": (("--windows", "3", "--rate", "0.1", *PLACE), "flips over scattered changes"),
    "attacks": (("--windows", "2", "--flips", "2", *PLACE), "chosen by DNL"),
    "error-response": ((*DERIVATIVES, "--perturbation", "sign"), "sign: predicted"),
}
# The others compile for more than a few seconds.
FAST = ("alpha", "flip-energies", "trained-chain")


ONCE = tuple(
    name
    for name, each in MEASUREMENTS.items()
    if all(option.name != "resume" for option in derive.options(each.function, leave=measure.FILLED))
)
"""These read each window once, and keep no records."""


def arguments(name, hub_folder, text):
    """A command line of one measurement on a model and a text; at its defaults if it has no line above."""
    options, _ = VERBS.get(name, ((), ""))
    calibration = ("--calibration", "2") if MEASUREMENTS[name].calibrations else ()
    reads = {"evaluation", "tokens"} & set(inspect.signature(MEASUREMENTS[name].function).parameters)
    windows = ("--text", str(text), "--window", "16") if reads else ()
    return ["measure", name, "--model", str(hub_folder), *windows, *options, *calibration]


def protect_arguments(hub_folder, text):
    """A command line of `protect` in one matrix."""
    tiny = ("--window", "16", "--calibration", "2", "--budget", "5%", "--compare", "size,random")
    return ["protect", "--model", str(hub_folder), "--text", str(text), *tiny, "--layers", "0"]


def refused(capsys, typed, hint):
    """A command line that ends as a user's mistake should: one line on standard error, exit code 2."""
    assert run(typed) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("signmag: ")
    assert hint in err
