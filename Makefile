# make repro        environment, dependencies, dvc repro, dvc metrics show
# make test         the same environment plus the test tools; the tests that fit ten minutes
# make compare      what changed between HEAD and the workspace (FROM=... TO=... for others), in a page with the curves
# make experiments  the experiments of all commits: dev score, test score, the parameters in which they differ
# PADDLE=gpu or PADDLE=cpu chooses the wheel; without it gpu where nvidia-smi works, else cpu.
# PADDLE=gpu PADDLE_INDEX=... installs paddlepaddle-gpu 3.x from that address, which later calls keep.

PYTHON ?= python3
PADDLE := $(or $(PADDLE),$(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu))
ifeq ($(filter cpu gpu,$(PADDLE)),)
$(error PADDLE is '$(PADDLE)': it can be cpu or gpu)
endif
VENV := .venv/$(PADDLE)
KEPT := $(shell cat $(VENV)/.index 2>/dev/null)
export PADDLE
export PADDLE_INDEX := $(or $(value PADDLE_INDEX),$(KEPT))
# Relative, since the path to this folder may have spaces, quotes and $ in it; $(value) keeps those of PATH as they are.
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(value PATH)
# For DVC, whatever the locale is: the path to this folder and the names in it are UTF-8.
export PYTHONUTF8 := 1
# Whole files, so that what a file shares is made once; three at a time, since many wait for processes that start.
# A process that dies is not replaced: pytest-xdist 3.8 would then wait for ever for the rest of its file.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart=0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: checkout python repro compare experiments test test-slow test-wheel lint pictures install install-dev

# One after the other, so that nothing is installed where git or DVC cannot work.
.NOTPARALLEL:

repro: checkout install
	$(BIN)/python -m dvc repro
	$(BIN)/python -m dvc metrics show

compare: checkout install
	@$(BIN)/python -m ds2 compare $(or $(FROM),HEAD) $(or $(TO),workspace)

experiments: checkout install
	@$(BIN)/python -m ds2 experiments

test: install-dev
	$(PYTEST) -m "not slow"

test-slow: install-dev
	$(PYTEST) -m slow

test-wheel: install-dev
	$(PYTEST) -m wheel

lint: install-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# The links that the GPU's wheel needs are made again where they are missing.
install: $(VENV)/.installed
	@"$(PYTHON)" -c 'from ds2.pipeline import installation; installation.link()'

install-dev: install $(VENV)/.installed-dev

checkout: python
	@"$(PYTHON)" -c 'from ds2.pipeline import checkout; checkout.main()'

python:
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
		|| { echo "$(PYTHON) is not Python 3.10 to 3.12: name one, as in: make PYTHON=python3.11 repro" >&2; exit 1; }

$(VENV)/.installed: requirements/$(if $(PADDLE_INDEX),cpu,$(PADDLE)).txt | python
	@"$(PYTHON)" -c 'from ds2.pipeline import installation; installation.main()'
	@touch $@

ifneq ($(PADDLE_INDEX),$(KEPT))
.PHONY: $(VENV)/.installed
endif

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	@$(PIP) -r requirements/dev.txt
	@touch $@

pictures: install
	$(BIN)/python docs/pictures.py
