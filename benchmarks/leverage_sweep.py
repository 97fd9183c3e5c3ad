"""The sweep of Exp E (5 rates, 10 draws, 2 arms, 8 windows of 1,024): this package against a PyTorch loop.

Both read the same SmolLM2-135M weights in float32 and the same windows, and flip exactly k signs in the
same outlier columns or in the rest. The loop is `transformers` in inference mode with all threads: it draws
indices on the host, flips them in place, reads the windows one by one and flips back. It draws in three
ways: "dense" (a uniform number for every weight of the pool, those below a threshold flip), "permutation"
(`torch.randperm` of the pool) and "indices" (integers with repetitions drawn again, O(k), the fastest).

Every step is timed apart, in two processes that take turns, on a subset of the sweep; `sweep_seconds` adds up
what all of it would take. `--whole` runs all of it.

    python benchmarks/leverage_sweep.py --quick
    python benchmarks/leverage_sweep.py --rounds 3
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import forward
import turns

RATES = (0.0001, 0.0005, 0.001, 0.005, 0.05)
ARMS = ("outlier", "rest")
DRAWS, WINDOWS, TOKENS = 10, 8, 1024
DRAWN = ("indices", "permutation", "dense")
CALIBRATION = 2
AT_ONCE = 1024
"""Tokens that the loop reads together."""


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1, help="draws of each arm and rate")
    parser.add_argument("--windows", type=int, default=WINDOWS)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--calibration", type=int, default=CALIBRATION, help="windows that choose columns")
    parser.add_argument("--rates", type=float, nargs="+", default=[RATES[0], RATES[2], RATES[-1]])
    parser.add_argument("--quick", action="store_true", help="one window, two rates, one round")
    parser.add_argument("--whole", action="store_true", help="all rates and draws")
    parser.add_argument("--worker", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rates, options.windows, options.rounds = [RATES[0], RATES[-1]], 1, 1
    if options.whole:
        options.rates, options.rounds = list(RATES), DRAWS
    if options.worker:
        sizes = options.windows, options.tokens, options.calibration
        turns.serve({"ours": ours, "theirs": theirs}[options.worker](*sizes))
    else:
        print(json.dumps(compare(options), indent=2))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Every step over arms, rates and draws, the two workers in turn."""
    sizes = ("--windows", str(options.windows), "--tokens", str(options.tokens))
    workers = {name: turns.Worker(__file__, "--worker", name, *sizes) for name in ("ours", "theirs")}
    for worker in workers.values():
        worker.ask(do="warm", rates=options.rates)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    clean: dict[str, list[Any]] = {name: [] for name in workers}
    for draw in range(options.rounds):
        for name, worker in workers.items():
            clean[name].append(worker.ask(do="clean"))
        for rate in options.rates:
            for arm in ARMS:
                for name, worker in workers.items():
                    found[name].append(worker.ask(do="evaluate", arm=arm, rate=rate, draw=draw))
    rates = {name: worker.ask(do="products") for name, worker in workers.items()}
    for worker in workers.values():
        worker.stop()
    kinds = {"clock": 0, "processor": 1}
    return {
        "subset": {
            "rates": options.rates,
            "arms": ARMS,
            "draws": options.rounds,
            "windows": options.windows,
            "tokens": options.tokens,
        },
        "threads": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "mean_nll": {
            name: statistics.mean(each["nll"] for each in rows if each["nll"] is not None)
            for name, rows in found.items()
        },
        "products_gflops": rates,
        **{
            kind: judged(
                {
                    name: {
                        step: statistics.median(each[step][which] for each in rows)
                        for step in rows[0]
                        if step != "nll"
                    }
                    for name, rows in found.items()
                },
                {name: statistics.median(each[which] for each in rows) for name, rows in clean.items()},
                options.windows * sum(forward.flops(options.tokens).values()) / 1e9 / max(rates.values()),
            )
            for kind, which in kinds.items()
        },
    }


def judged(steps: dict[str, dict[str, float]], clean: dict[str, float], floor: float) -> dict[str, Any]:
    """The whole sweep, the speedups and the bound that products set, from seconds of every step.

    `floor` is the clock's: the products of one evaluation at the faster library's rate.
    """
    evaluations = len(RATES) * len(ARMS) * DRAWS
    passes = {name: each["perturb"] + each["pass"] for name, each in steps.items()}
    ours_each = steps["ours"]["build"] + passes["ours"]
    theirs_each = {way: steps["theirs"][f"build_{way}"] + passes["theirs"] for way in DRAWN}
    flipping = max(steps["ours"]["pass"] - clean["ours"], 0.0)
    sweep = {"ours": evaluations * ours_each + clean["ours"]}
    sweep |= {f"theirs, {way}": evaluations * each + clean["theirs"] for way, each in theirs_each.items()}
    return {
        "seconds_of_each_step": steps,
        "seconds_of_a_clean_pass": clean,
        "share_of_building": steps["ours"]["build"] / passes["ours"],
        "share_of_building_and_flipping": (steps["ours"]["build"] + flipping) / passes["ours"],
        "sweep_seconds": sweep,
        "speedup": {way: each / ours_each for way, each in theirs_each.items()},
        "speedup_of_the_passes_alone": passes["theirs"] / passes["ours"],
        "speedup_at_the_ceiling": {way: each / floor for way, each in theirs_each.items()},
    }


@functools.cache
def profiled(windows: int, tokens: int, calibration: int) -> tuple[Any, Any, Any, Any]:
    """Model, windows that choose, windows that score, and the activations on the former."""
    from signmag_jax import measure, models

    model = models.load()
    encoded = model.tokenizer.encode(models.text.load().content)
    choosing, scoring = models.text.divided(encoded, tokens, calibration, windows)
    return model, choosing, scoring, measure.alpha(model, choosing)


def pools(*sizes: int) -> tuple[Any, Any, Any]:
    """Model, windows that score and pools, as the package itself makes them."""
    from signmag_jax import models
    from signmag_jax.measure.pools import Pools

    model, _, scoring, profile = profiled(*sizes)
    chosen = range(model.config.layers), models.MATRICES
    return model, scoring, Pools.of(model, profile.outliers(), *chosen)


def ours(windows: int, tokens: int, calibration: int) -> Callable[..., Any]:
    """Draw, then one forward pass of all windows that flips on its way."""
    import jax

    from signmag_jax.measure.leverage import draws_of
    from signmag_jax.models import window_nll

    model, text, found = pools(windows, tokens, calibration)

    def evaluate(arm: str, rate: float, draw_number: int) -> dict[str, Any]:
        flips = round(rate * found.size("outlier"))
        draws = draws_of(found, flips, 0)
        watch = turns.Stopwatch()
        transform = jax.block_until_ready(draws.transform(draws.recipe(arm, draw_number)))
        build = watch.look()
        loss = float(window_nll(model, text, transform, windows).mean())
        return {"build": build, "perturb": [0.0, 0.0], "pass": watch.look(), "nll": loss}

    def clean() -> list[float]:
        watch = turns.Stopwatch()
        window_nll(model, text, None, windows)
        return watch.look()

    def answer(do: str, rates: Any = (), arm: str = "", rate: float = 0.0, draw: int = 0) -> Any:
        if do == "warm":
            clean()
            return [evaluate(ARMS[0], each, 0) for each in rates]
        if do == "products":
            matrices = forward.shape_of_model()["matrices"]
            return forward.rate_of_products(forward.our_product, tokens, matrices)
        return clean() if do == "clean" else evaluate(arm, rate, draw)

    return answer


def theirs(windows: int, tokens: int, calibration: int) -> Callable[..., Any]:
    """Draw on the host, flip in place, read the windows, flip back."""
    import numpy as np
    import torch

    from signmag_jax.models import SITE_OF

    _, text, found = pools(windows, tokens, calibration)
    network = forward.network(forward.export())
    # Short windows side by side, as many tokens as one long one: PyTorch is fastest so.
    sections = range(AT_ONCE // tokens or 1, windows, AT_ONCE // tokens or 1)
    rows = [torch.from_numpy(part.astype(np.int64)) for part in np.split(text, sections)]
    places = []
    for layer in found.layers:
        block = network.model.layers[layer]
        for name in found.outputs:
            part = block.self_attn if hasattr(block.self_attn, name) else block.mlp
            places.append((getattr(part, name).weight.data, SITE_OF[name], layer))

    def columns(site: str, layer: int, arm: str) -> torch.Tensor:
        start, width = found.span(site, arm)
        return torch.from_numpy(found.order[site][layer, start : start + width].astype(np.int64))

    def indices(arm: str, rate: float, way: str, seed: int) -> list[Any]:
        generator = torch.Generator().manual_seed(seed)
        flips = round(rate * found.size("outlier"))
        whole = found.size(arm)
        return [
            drawn(weight, columns(site, layer, arm), flips / whole, way, generator)
            for weight, site, layer in places
        ]

    def evaluate(arm: str, rate: float, draw: int, ways: Sequence[str]) -> dict[str, Any]:
        times: dict[str, Any] = {}
        masks: Any = None
        watch = turns.Stopwatch()
        for way in ways:
            masks = indices(arm, rate, way, draw)
            times[f"build_{way}"] = watch.look()
        for _ in range(2):  # there and back, then there again for the pass
            flip(places, masks)
        times["perturb"] = watch.look()
        flip(places, masks)
        watch.look()
        loss = read()
        times["pass"] = watch.look()
        flip(places, masks)
        return {**times, "nll": loss}

    def read(texts: Sequence[Any] = rows) -> float:
        with torch.inference_mode():
            losses = [network(row, labels=row, use_cache=False).loss.item() for row in texts]
            return float(np.average(losses, weights=[len(row) for row in texts]))

    def clean(texts: Sequence[Any] = rows) -> list[float]:
        watch = turns.Stopwatch()
        read(texts)
        return watch.look()

    # Last the way whose masks are used.
    def answer(
        do: str,
        rates: Any = (),
        arm: str = "",
        rate: float = 0.0,
        draw: int = 0,
        ways: Sequence[str] = DRAWN[::-1],
    ) -> Any:
        if do == "products":
            matrices = forward.shape_of_model()["matrices"]
            return forward.rate_of_products(forward.their_product, tokens, matrices)
        if do == "nll":
            return read()
        if do == "one window":
            return clean([rows[0][:1]])
        return evaluate(arm, rate, draw, ways) if do == "evaluate" else clean()

    return answer


def drawn(weight: Any, columns: Any, rate: float, way: str, generator: Any) -> tuple[Any, Any]:
    """Rows and columns of the weights of one matrix that flip."""
    import torch

    outputs, width = len(weight), len(columns)
    if way == "dense":
        chosen = torch.rand(outputs, width, generator=generator) < rate
        rows, place = chosen.nonzero(as_tuple=True)
        return rows, columns[place]
    count = round(rate * outputs * width)
    if way == "permutation":
        flat = torch.randperm(outputs * width, generator=generator)[:count]
    else:
        flat = torch.empty(0, dtype=torch.int64)
        while len(flat) < count:
            more = torch.randint(outputs * width, (count - len(flat),), generator=generator)
            flat = torch.unique(torch.cat([flat, more]))
    return flat // width, columns[flat % width]


def flip(places: list[Any], masks: list[Any]) -> None:
    """Change the signs in place; a second time restores them exactly."""
    for (weight, *_), (rows, columns) in zip(places, masks, strict=True):
        weight[rows, columns] = -weight[rows, columns]


if __name__ == "__main__":
    main()
