"""Verbs with sub-commands, which are made when they are asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from . import derive
from .options import emit, say
from .shared import SHARED, UNUSED_SEED, Option

# More than any first sentence has: Click would cut them to what fits beside the name, in one line.
WHOLE = 1000


class Listing(TyperGroup):
    """A command whose help lists others, each with the whole first sentence of its own help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list, as Typer asks for it."""
        listed: list[tuple[str, Any]] = [
            (name, self.get_command(ctx, name)) for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(WHOLE)) for name, one in listed])


class Verbs(Listing):
    """All verbs: `signmag --help` lists them, and none imports what it calls before it is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The verb of a command line, as Typer and shells that complete it ask for it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.made() if isinstance(command, Later) else command, rest


class Later(TyperCommand):
    """The place of a verb in the list, whose options follow from what is not yet imported."""

    def made(self) -> Any:
        """The verb itself."""
        assert self.callback is not None
        return self.callback()


class Group(Listing):
    """A verb whose sub-commands are known only when what they call is imported."""

    what = ""

    def lines(self) -> Mapping[str, str]:
        """One line for each sub-command, by name."""
        raise NotImplementedError

    def plain(self) -> Any:
        """The list of sub-commands as a JSON object."""
        return {name: {"summary": line} for name, line in self.lines().items()}

    def make(self, name: str) -> Any:
        """The sub-command of that name, by `subcommand`."""
        raise NotImplementedError

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, as Typer asks for them."""
        return list(self.lines())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The sub-command, as Typer asks for it."""
        if cmd_name in self.lines():
            return self.make(cmd_name)
        if ctx.resilient_parsing:  # a shell asks what would complete it
            return None
        raise typer.BadParameter(f"no {self.what} {cmd_name!r}: choose from {', '.join(self.lines())}")


def subcommand(name: str, work: Callable[..., int], options: list[Option], help_: str, example: str) -> Any:
    """A sub-command that calls `work` with the options that were given."""
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    _command(single, name, derive.command(work, options), help_, example)
    return typer.main.get_command(single)


def verb(app: typer.Typer, function: Callable[..., int]) -> None:
    """Add a verb without sub-commands; it takes a seed, also where it has no use for one."""
    options = derive.options(function)
    seeded = any(option.name == "seed" for option in options)

    def work(**given: Any) -> int:
        if not seeded:
            given.pop("seed", None)
        by_position = [given.pop(one.name) for one in options if one.positional and not one.many]
        more = [each for one in options if one.many for each in given.pop(one.name, [])]
        return function(*by_position, *more, **given)

    known = options if seeded else [*options, UNUSED_SEED]
    call = derive.command(work, known)
    _command(app, function.__name__, call, derive.help_of(function), derive.example_of(function))


def later(app: typer.Typer, name: str, summary: str) -> None:
    """Add a verb that `command` of the module of its name makes; `summary` is the first line of its help."""

    def make() -> Any:
        return importlib.import_module(f".{name}", __package__).command()

    app.command(name, help=summary, cls=Later)(make)


def _command(app: typer.Typer, name: str, call: Callable[..., Any], help_: str, example: str) -> None:
    app.command(name, help=help_, epilog=_example(example), context_settings=derive.HELP)(call)


def _example(text: str) -> str | None:
    # The mark keeps the line from being wrapped.
    return f"\b\nExample: {text}" if text else None


def add(app: typer.Typer, name: str, kind: type[Group], help_: str, example: str) -> None:
    """Add a verb with sub-commands; without one it lists them."""
    room = typer.Typer(
        cls=kind,
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=derive.HELP,
        subcommand_metavar="NAME ...",
    )

    about = f"{help_}\n\nEach NAME has a help of its own: signmag {name} NAME --help"

    def listed(*, ctx: Any, json: bool | None = None) -> None:
        if ctx.invoked_subcommand is not None:
            if json:
                raise typer.BadParameter(f"--json stands after the name: signmag {name} NAME --json")
        elif json:
            emit(ctx.command.plain())
        else:
            for each, line in ctx.command.lines().items():
                say(f"{each}: {line}")

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    call = derive.with_parameters(listed, [context, SHARED["json"].parameter()])
    room.callback(help=about, epilog=_example(f"signmag {name} {example}"))(call)
    app.add_typer(room, name=name)
