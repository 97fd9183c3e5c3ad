"""Records of measurements as somebody might leave them who edits them by hand, their checksums made anew."""

import copy
import json

from signmag_jax.evidence.files import sha256_of_json

STRANGE = ("0.5", float("nan"), float("inf"), 10**400, {}, [[]], "", {"a": 1})


def leaves(value, path=()):
    """Where every number, text and None of a payload stands."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [each for name, inner in pairs for each in leaves(inner, (*path, name))]
    return [path]


def lists(value, path=()):
    """Where every list that is not empty stands."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [each for name, one in pairs for each in lists(one, (*path, name))]
    return [*([path] if isinstance(value, list) and value else []), *inner]


def within(value, path):
    for name in path:
        value = value[name]
    return value


def replaced(payload, path, value):
    if not path:
        return value
    payload = copy.deepcopy(payload)
    within(payload, path[:-1])[path[-1]] = value
    return payload


def wrong_kind(payload, rng):
    """Something else stands where a number or a word belongs."""
    return replaced(payload, rng.choice(leaves(payload)), rng.choice(STRANGE))


def wrong_shape(payload, rng):
    """One of the innermost lists has an entry more or less, or its first in brackets; none of words."""
    path = rng.choice(
        [each for each in lists(payload) if not isinstance(within(payload, each)[0], list | dict | str)]
    )
    inner = within(payload, path)
    return replaced(payload, path, rng.choice([inner[:-1], [*inner, inner[0]], [[inner[0]], *inner[1:]]]))


def other_kind(payload, rng):
    """The whole is something else, but no empty list: nothing may have been chosen."""
    return rng.choice([None, 7, "text", {}, [payload], {"payload": payload}])


def rewrite(path, change):
    """Change the payload of a record; whether it is then a whole one: without strict JSON, no checksum."""
    record = json.loads(path.read_text())
    del record["sha256"]
    record["payload"] = change(record["payload"])
    try:
        checksum = sha256_of_json(record)
    except ValueError:
        checksum = None
    path.write_text(json.dumps(record | {"sha256": checksum}))
    return checksum is not None and record["payload"] is not None
