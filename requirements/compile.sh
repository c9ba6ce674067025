#!/usr/bin/env bash
# Makes the pinned requirements anew from pyproject.toml (needs uv). They hold for Python 3.10 to 3.12.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate "$@"
}
compile pyproject.toml --extra cpu --extra demo -o requirements/cpu.txt
compile pyproject.toml --extra gpu --extra demo -o requirements/gpu.txt
# A part of the CPU's.
compile pyproject.toml --extra onnx --constraint requirements/cpu.txt -o requirements/onnx.txt
# One set of test tools for both wheels: what they share with them is pinned alike.
compile --group dev -o requirements/dev.txt
