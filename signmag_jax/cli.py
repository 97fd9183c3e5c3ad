"""The command line: parses, calls, prints."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def root() -> None:
    """What does a weight error cost, when its sign is wrong and when only its size is?"""


def main() -> None:
    """Entry point of `signmag`."""
    app()
