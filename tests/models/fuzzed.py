"""Run in a process of its own: damaged checkpoints are loaded one by one, and what each came to is printed.

Usage: python fuzzed.py FOLDER FILE FIRST LAST

FOLDER holds a sound checkpoint (a GGUF file, or a folder in hub format), FILE is the one to damage; the
damages are numbered FIRST to LAST - 1, and a number alone determines its damage. A line is printed before
each load and one after it, so that whoever reads them knows which damage ended the process.
"""

import copy
import json
import os
import random
import struct
import sys
import time
import traceback
from pathlib import Path

from signmag_jax import models
from signmag_jax.evidence import SignmagError

NUMBERS = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**61, 2**63, 2**64 - 1]
PLAIN = [None, True, -1, 0, 1, 2**31, 2**64, 10**40, 0.5, 1e308, "", "x", "\ud800", "9" * 5000, [], {}, [[]]]
PLAIN += [["x"] * 3, {"type": "Sequence"}, {"a": {"b": []}}]
ONCE = 4_000_000
"""Bytes: what takes more is loaded a second time."""
TEXT = "Prices: 1,234.50 EUR; naïve 日本 \U0001f600\n\tdef f(x): return x"


def damaged_bytes(rng, whole, most):
    """Some bytes before `most` changed, moved, doubled or left out."""
    changed = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(min(most, len(changed)) or 1)
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 8] = struct.pack("<Q", rng.choice(NUMBERS))
            case 2:
                changed[at : at + 4] = struct.pack("<I", rng.choice(NUMBERS) % 2**32)
            case 3:
                del changed[at : at + rng.choice([1, 4, 8, 64])]
            case 4:
                other = rng.randrange(len(changed) or 1)
                changed[at:at] = changed[other : other + rng.choice([1, 8, 32])]
            case 5:
                changed[at : at + 1] = rng.choice(
                    [b"9", b'"', b"{", b"]", b"-", b"e9999", b"\\", b"\n", b"null"]
                )
    if rng.random() < 0.2:
        del changed[rng.randrange(len(changed) + 1) :]
    return bytes(changed)


def damaged_json(rng, text):
    """The text with some values replaced, removed, doubled or renamed, as JSON again."""
    plain = json.loads(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        holder, key = rng.choice([*_entries(plain)])
        match rng.randrange(4):
            case 0 | 1:
                holder[key] = copy.deepcopy(rng.choice(PLAIN))
            case 2:
                del holder[key]
            case 3 if isinstance(holder, dict):
                holder[rng.choice([f"{key}x", "", "type", "auto_map", "quantization_config"])] = (
                    copy.deepcopy(holder[key])
                )
            case 3:
                holder.insert(key, copy.deepcopy(holder[key]))
        if not isinstance(plain, dict) or not plain:
            break
    return json.dumps(plain).encode()


def _entries(plain):
    """Every place in nested lists and objects: its holder and its key or index; long lists by their ends."""
    items = list(plain.items()) if isinstance(plain, dict) else list(enumerate(plain))
    for key, value in items if len(items) < 40 else items[:20] + items[-20:]:
        yield plain, key
        if isinstance(value, dict | list):
            yield from _entries(value)


def damaged(seed, name, whole):
    """The damage of that number to a file of that name."""
    rng = random.Random(f"{name} {seed}")
    by_bytes = rng.random() < 0.4
    if name.endswith(".gguf"):
        return damaged_bytes(
            rng, whole, len(whole) if rng.random() < 0.1 else whole.index(b"output.weight") + 64
        )
    if not name.endswith(".safetensors"):
        return damaged_bytes(rng, whole, len(whole)) if by_bytes else damaged_json(rng, whole)
    length = struct.unpack("<Q", whole[:8])[0]
    if by_bytes:
        return damaged_bytes(rng, whole, length + 8)
    header = damaged_json(rng, whole[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + whole[8 + length :]


def memory(reset=False):
    """Bytes that this process holds now, and the most it held since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(1024 * int(lines[label].split()[0]) for label in ("VmRSS", "VmHWM"))


def outcome(path):
    """What loading a checkpoint and cutting a text into its tokens comes to: a line, "" or a traceback."""
    try:
        model = models.load(path)
        model.tokenizer.decode(model.tokenizer.encode(TEXT))
    except SignmagError as error:
        return "several lines" if "\n" in str(error) else "refused"
    except Exception:
        return traceback.format_exc()
    return "loaded"


def watched(path):
    """The outcome, the seconds that it took, and the memory."""
    held, _ = memory(reset=True)
    start = time.monotonic()
    said = outcome(path)
    return said, time.monotonic() - start, memory()[1] - held


def main(folder, name, first, last):
    target = folder / name
    whole = target.read_bytes()
    path = target if name.endswith(".gguf") else folder
    if outcome(path) != "loaded":
        raise SystemExit(f"{name} is no sound checkpoint: {outcome(path)}")
    for seed in range(first, last):
        content = damaged(seed, name, whole)
        print(json.dumps({"seed": seed}), flush=True)
        target.write_bytes(content)
        said, seconds, most = watched(path)
        if most > ONCE:  # perhaps a module that a library imports when it needs it first
            said, seconds, most = watched(path)
        print(json.dumps({"seed": seed, "said": said, "seconds": seconds, "memory": most}), flush=True)
    target.write_bytes(whole)


if __name__ == "__main__":
    # Rust's remarks go to descriptor 1: what is printed here goes where they cannot come between.
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
