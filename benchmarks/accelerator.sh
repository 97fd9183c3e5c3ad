#!/usr/bin/env bash
# Everything that needs an accelerator, on a machine that is lent for minutes and has no network.
#
#   benchmarks/accelerator.sh pack   here, with a network: what the machine lacks, to build/accelerator/
#   benchmarks/accelerator.sh one    there: correctness, bits and simulations, at most 4 minutes
#   benchmarks/accelerator.sh two    there, after it: `signmag reproduce --quick` and models, at most 4 minutes
#   benchmarks/accelerator.sh three  there, after it: `signmag reproduce`, products and the tests, at most 4 minutes
#
# Before `pack`, for a CPU's numbers to compare with: signmag reproduce --quick --out signmag-run-quick, and
# signmag reproduce --out signmag-run-default.
#
# The parts follow each other on one machine, each allowed 250 seconds by whoever lends it: what part one installs
# and the halves of the model lie in /tmp there. With minutes left, a section alone runs likewise, such as
# `benchmarks/accelerator.sh tests`; accelerator.py names them.
#
# The machine has an NVIDIA card, Python 3.12, JAX, PyTorch, transformers, pytest-xdist and hypothesis. Every part is
# brought this checkout, which is what runs; `pack` says what else goes with which part. Part two joins the two halves
# of the default model. What they find lies in $OUT (by default build/accelerator/out), written as it comes: commit it
# as benchmarks/results/accelerator-CARD-one.json, -two.json and -three.json.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKED=build/accelerator
KEPT="${ACCELERATOR_HOME:-${TMPDIR:-/tmp}/signmag-accelerator}" # what a part leaves for the next
OUT="${OUT:-$PACKED/out}"
PYTHON="${PYTHON:-python3}"
# What such a machine does not have; a package that it has is left as it is.
NAMES=(python-flint gguf beartype jsonschema rpds-py referencing jsonschema-specifications)
MOST=$((63 * 1024 * 1024)) # bytes that a part may bring, the checkout included

pack() {
  rm -rf "$PACKED/wheels"
  mkdir -p "$PACKED/wheels"
  git rev-parse HEAD > "$PACKED/commit"
  "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$PACKED/wheels" .
  "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --dest "$PACKED/wheels" "${NAMES[@]}"
  local model; model="$("$PYTHON" -c 'from signmag_jax.models.embedded import embedded; print(embedded().path)')"
  split --numeric-suffixes --suffix-length=1 --number=2 "$model" "$PACKED/model."
  gzip --force "$PACKED"/model.?
  for level in quick default; do ledger "$level"; done
  brings one wheels model.0.gz commit
  brings two model.1.gz ledger-quick
  brings three ledger-default
}

ledger() { # a CPU's run of this commit: rows of another one would differ for other reasons
  local level="$1" run="signmag-run-$1/ledger.json" why=""
  rm -rf "$PACKED/ledger-$level"
  if [ ! -f "$run" ]; then
    why="is not here"
  elif [ "$(stat --format=%Y "$run")" -lt "$(git log -1 --format=%ct -- signmag_jax)" ]; then
    why="is older than this checkout's signmag_jax"
  fi
  if [ -n "$why" ]; then
    echo "$run $why: the card's run at this level will be compared with nothing" >&2
  else
    mkdir -p "$PACKED/ledger-$level"
    cp "$run" "$PACKED/ledger-$level/"
  fi
}

brings() { # what a part is brought, unless that is too much
  local part="$1" names=() name bytes; shift
  for name in "$@"; do [ ! -e "$PACKED/$name" ] || names+=("$PACKED/$name"); done
  bytes="$({ git ls-files -z; printf '%s\0' "${names[@]}"; } | du -cb --files0-from=- | tail -1 | cut -f1)"
  [ "$bytes" -le "$MOST" ] || { echo "part $part would bring $bytes bytes, more than $MOST" >&2; exit 1; }
  echo "part $part brings $((bytes / 1024 / 1024)) MiB: this checkout, ${names[*]}"
}

setup() { # what the machine lacks, beside its own packages (its Python may be that of an environment)
  mkdir -p "$KEPT" "$OUT"
  [ -d "$KEPT/site" ] || install
  cp "$PACKED"/model.?.gz "$KEPT/" 2>/dev/null || true # each half comes with its own part
  export PYTHONPATH="$PWD:$KEPT/site"
}

install() {
  local had="$KEPT/had" wheel name
  [ -d "$PACKED/wheels" ] || { echo "$PACKED/wheels is not here: part one brings it, on the same machine" >&2; exit 1; }
  "$PYTHON" -m pip --disable-pip-version-check list --format=freeze > "$had"
  for wheel in "$PACKED"/wheels/*.whl; do
    name="$(basename "$wheel" | cut -d- -f1 | tr _ -)"
    if [ "$name" = signmag-jax ] || ! grep --quiet --ignore-case "^$name==" "$had"; then
      "$PYTHON" -m pip --disable-pip-version-check install --quiet --no-index --no-deps --no-compile --upgrade \
        --target "$KEPT/site.part" "$wheel"
    fi
  done
  mv "$KEPT/site.part" "$KEPT/site"
}

join() { # the model, where the package looks for it
  local cache="${XDG_CACHE_HOME:-$HOME/.cache}/signmag_jax"
  mkdir -p "$cache"
  [ -f "$KEPT/model.0.gz" ] || { echo "model.0.gz is not here: part one brings it" >&2; exit 1; }
  [ -f "$KEPT/model.1.gz" ] || { echo "model.1.gz is not here: part two brings it" >&2; exit 1; }
  gzip --decompress --stdout "$KEPT"/model.?.gz > "$cache/SmolLM2-135M-Instruct.Q4_1.gguf"
}

part() { # 4 minutes, the setup included
  timeout --signal=TERM --kill-after=5 "$((240 - SECONDS))" "$PYTHON" benchmarks/accelerator.py "$1" \
    --seconds "$((230 - SECONDS))" --out "$OUT/accelerator-$1.json" "${@:2}"
}

case "${1:-}" in
  pack) pack ;;
  one | correct | bits | simulation) setup; part "$@" ;;
  two | three | quick | models | default | precision | tests) setup; join; part "$@" ;;
  *) sed -n '2,22s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
