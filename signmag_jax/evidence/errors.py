"""Errors that a user can act on: each says what was wrong and how to mend it."""

import re

LONGEST = 300
"""Characters that an error shows of what it was given."""


class SignmagError(Exception):
    """Base of every error that the command line prints as one line instead of a traceback.

    `exit_code` is what `signmag` returns: 2 for bad input or environment, 3 for an incomplete result.
    """

    exit_code = 2


class InvalidInput(SignmagError, ValueError):
    """A value that breaks a stated invariant."""


class MissingResource(SignmagError, RuntimeError):
    """A model, file, package or network that is needed and not there."""


class Incomplete(SignmagError, RuntimeError):
    """The work stopped before its target; what was finished is kept."""

    exit_code = 3


def invalid(invariant: str, received: object, fix: str) -> InvalidInput:
    """The error for a broken invariant: the invariant in backticks, what was received, how to fix it."""
    return InvalidInput(f"`{invariant}` is required, received {_shown(received)}: {fix}")


def _shown(received: object) -> str:
    """What was received in one line that is not too long to read."""
    try:
        text = re.sub(r"\s*\n\s*", " ", repr(received))
    except Exception:  # as of an integer of more digits than Python prints
        text = f"a value of type {type(received).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
