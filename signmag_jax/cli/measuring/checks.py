"""What measurements refuse beyond what every request is refused for."""

from __future__ import annotations

from signmag_jax.cli.request import Request


def one_rate(request: Request) -> None:
    """One rate at which fewer signs flip than stay."""
    from signmag_jax.evidence import invalid
    from signmag_jax.measure.outlier_flips import check_rate

    if len(request.rates) != 1:
        raise invalid("one value of --rates", request.rates, "run the measurement once for each rate")
    check_rate(request.rates[0])


def one_number_of_seeds(request: Request) -> None:
    """The same draws for all rates."""
    from signmag_jax.evidence import invalid

    if isinstance(request.draws, tuple):
        raise invalid("one value of --draws", request.draws, "these draws are the same for all rates")


def one_rate_and_number(request: Request) -> None:
    """One rate and one number of draws."""
    one_rate(request)
    one_number_of_seeds(request)
