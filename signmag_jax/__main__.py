"""`python -m signmag_jax`: the command signmag, where no script of that name is on the path."""

from signmag_jax.cli import main

main()
