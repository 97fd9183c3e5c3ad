"""Run in a process of its own with eight devices: what a model gives over several meshes, as JSON.

Usage: python on_mesh.py FOLDER; a folder holds checkpoints in hub format, one a subfolder.
"""

import functools
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from signmag_jax import measure, models
from signmag_jax.evidence import SignmagError, keys
from signmag_jax.perturb import SignFlip

MESHES = {"one": None, "data": (8, 1), "tensor": (1, 4), "both": (2, 4)}
WINDOWS = np.random.default_rng(8).integers(0, 90, (5, 21)).astype(np.int32)
FLIP = SignFlip(0.2)
# One that is split by rows and one by columns: each that is drawn costs a second of compiling.
DRAWN = ("up_proj", "down_proj")


def flip(weight, layer, name):
    """Bernoulli flips by key, as every perturbation draws them; and three single ones, as leverage does."""
    if name in DRAWN:
        weight = FLIP.apply(keys.fold(keys.root(3), layer, name), weight)
    return weight.at[jnp.asarray([1, 5, 11]), jnp.asarray([2, 9, 0])].multiply(-1.0)


@functools.partial(jax.jit, static_argnums=0)
def flipped(config, blocks):
    """Which signs of which matrices `flip` turns."""
    layers = jnp.arange(config.layers, dtype=jnp.int32)
    return {
        name: jax.vmap(functools.partial(flip, name=name))(blocks[name], layers) != blocks[name]
        for name in models.MATRICES
    }


@functools.partial(jax.jit, static_argnums=0)
def gradient(config, params, tokens):
    """Of the mean NLL, as linear response takes it."""
    return jax.grad(lambda p: jnp.mean(models.token_nll(config, p, tokens)))(params)


def leaves(tree):
    """Name and leaf of a nested dict."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def shards(array):
    """Shape of the array, shapes of what each device holds, and how many different pieces there are."""
    pieces = {str(shard.index) for shard in array.addressable_shards}
    return [array.shape, [shard.data.shape for shard in array.addressable_shards], len(pieces)]


def report(folder, mesh, thorough):
    """What a model is and gives over one of `MESHES`; a thorough one flips signs and differentiates."""
    place = MESHES[mesh] and models.make_mesh(*MESHES[mesh])
    model = models.load(folder, dtype="float64", mesh=place)
    found = {
        "shards": {name: shards(leaf) for name, leaf in leaves(model.params).items()},
        "values": {name: np.asarray(leaf).tobytes().hex() for name, leaf in leaves(model.params).items()},
        "notes": model.report.notes,
        "nll": models.window_nll(model, WINDOWS).tolist(),
        "estimate": measure.nll(model, WINDOWS).value,
    }
    if not thorough:
        return found
    spread = flipped(model.config, model.params["blocks"])
    slopes = leaves(gradient(model.config, model.params, WINDOWS[:4]))
    return found | {
        "flipped nll": models.window_nll(model, WINDOWS, flip).tolist(),
        "flipped nll by layers": models.Prefixes(model, WINDOWS).nll(flip, 0).tolist(),
        "flips": {name: np.packbits(np.asarray(mask)).tobytes().hex() for name, mask in spread.items()},
        "flipped": sum(int(mask.sum()) for mask in spread.values()),
        "gradient": {name: np.asarray(leaf).ravel().tolist() for name, leaf in slopes.items()},
    }


def placed_later(folder):
    """Shards of a model that was loaded onto one device and spread afterwards."""
    model = models.shard(models.load(folder, dtype="float64"), models.make_mesh(2, 4))
    return {name: shards(leaf) for name, leaf in leaves(model.params).items()}


def refusals(folder):
    lines = []
    for wrong in (
        lambda: models.make_mesh(3, 4),
        lambda: models.make_mesh(0, 4),
        lambda: models.load(folder, mesh=jax.make_mesh((8,), ("x",))),
    ):
        try:
            wrong()
        except SignmagError as error:
            lines.append(str(error))
    return lines


if __name__ == "__main__":
    root = Path(sys.argv[1])
    folders = sorted(root.iterdir())
    pairs = {(f, mesh): f.name == "divides" and mesh in ("one", "both") for f in folders for mesh in MESHES}
    found = {f.name: {mesh: report(f, mesh, pairs[f, mesh]) for mesh in MESHES} for f in folders}
    later = {f.name: placed_later(f) for f in folders}
    print(json.dumps({"found": found, "later": later, "refusals": refusals(folders[0])}))
