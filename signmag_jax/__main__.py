"""The command signmag, and `python -m signmag_jax`."""

import sys

from signmag_jax import interruption


def main() -> None:
    """Hear Ctrl-C before anything else is loaded, then run the command line and exit with its code."""
    interruption.prepare()
    try:
        from signmag_jax import cli

        cli.main()
    except KeyboardInterrupt:  # where the command line does not catch it: as it begins, or twice
        print(f"signmag: {interruption.STOPPED}", file=sys.stderr)
        sys.exit(interruption.CODE)
    finally:
        interruption.over()


if __name__ == "__main__":
    main()
