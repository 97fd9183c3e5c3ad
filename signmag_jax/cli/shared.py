"""An option of a command, and those that many commands share: one meaning for each name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from . import values
from .options import Device
from .perturbations import PERTURBATIONS, parse
from .values import FLAG, Kind, kind_of


@dataclass(frozen=True)
class Option:
    """One option, or one argument by position.

    Args:
      name: of the parameter.
      kind: what it takes.
      help: one or more sentences.
      default: as the help shows it.
      flags: as it is typed; from the name, if empty.
      positional: whether it is typed without a flag.
      many: whether there may be several of a positional one.
    """

    name: str
    kind: Kind
    help: str = ""
    default: str = ""
    flags: tuple[str, ...] = ()
    positional: bool = False
    many: bool = False

    def parameter(self) -> inspect.Parameter:
        """The parameter by which Typer knows it; one that was not given is None."""
        parse: Any = {"parser": self.kind.parse, "metavar": self.kind.metavar} if self.kind.parse else {}
        if self.positional:
            info: Any = typer.Argument(help=self.help, show_default=False, **parse)
            base: Any = list[str] | None if self.many else str
        else:
            flags = self.flags or (flag(self.name),)
            help_ = f"{self.help} [default: {self.default}]" if self.default else self.help
            info = typer.Option(*flags, help=help_.strip(), show_default=False, **parse)
            base = list[str] | None if self.kind.join else str | None if self.kind.parse else bool | None
        needed = self.positional and not self.many
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if needed else None,
            annotation=Annotated[base, info],
        )


def flag(name: str) -> str:
    """A parameter as it is typed."""
    return "--" + name.replace("_", "-")


_FILE = Kind("FILE", values.path)
_FOLDER = Kind("FOLDER", values.path)
_NAME = Kind("NAME", values.filled)

_ALL = [
    Option("model", _NAME, "Hub name, folder or .gguf file; default: the embedded SmolLM2-135M."),
    Option("revision", Kind("REF", values.filled), "Branch, tag or commit on the hub; default: main."),
    Option("file", _NAME, "Of the GGUF files of a hub repository or a folder, the one to take."),
    Option(
        "text", _NAME, "File, - for standard input, or wikitext-2; default: prose that the package carries."
    ),
    Option("device", kind_of(Device) or _NAME, "Where to compute; auto takes the best there is.", "auto"),
    Option(
        "mesh",
        Kind("AXES", values.mesh),
        "Devices that share the work: data=2 (windows), tensor=4 (weights) or data=2,tensor=4.",
    ),
    Option("seed", Kind("INTEGER", values.seed), "Root seed of everything random.", "0"),
    Option("resume", _FOLDER, "Folder of records: finished pieces are read, new ones are added."),
    Option(
        "share",
        Kind("I/N", values.share),
        "Compute the I-th of N shares, from 0, into --resume; a last run without it reads them all.",
    ),
    Option(
        "distributed", FLAG, "Be one of the processes that JAX connects (Slurm, Open MPI, JAX_* variables)."
    ),
    Option("dry_run", FLAG, "Check what was asked for, say what it would cost, and stop."),
    Option("plot", _FILE, "Write a picture to this file (.svg, .png or .pdf)."),
    Option("parquet", _FILE, "Write a table to this file (needs pyarrow)."),
    Option("mask", _FILE, "Write the columns and weights to protect to this file, as JSON."),
    Option(
        "perturbations",
        Kind("PERTURBATION,PERTURBATION", values.perturbations, values.chained),
        f"Instead of a rate, two weight errors to compare, as flip:0.1,prune:0.5: {PERTURBATIONS}.",
        flags=("--perturbation",),
    ),
    Option("perturbation", Kind("PERTURBATION", parse), f"A weight error such as {PERTURBATIONS}."),
    Option(
        "errors",
        Kind("PERTURBATION", lambda text: {text: parse(text)}, values.merged),
        f"A weight error in place of the default ones; repeat the option for several: {PERTURBATIONS}.",
        flags=("--perturbation",),
    ),
    Option("json", FLAG, "Print JSON on standard output, and nothing else."),
    Option("quiet", FLAG, "No progress bars and no remarks.", flags=("--quiet", "-q")),
]
SHARED = {option.name: option for option in _ALL}

UNUSED_SEED = Option("seed", SHARED["seed"].kind, "Accepted for uniformity: nothing here is random.", "0")
