# `make demo` and `make test` need Python 3.11 to 3.13, a C compiler, make and git; nothing else.
# The first call fills .venv, which takes minutes; stamp files make the next one start at once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NATIVE := $(wildcard src/skerry/exact/native/*.c src/skerry/exact/native/*.h)
CODE   := src tests scripts setup.py $(wildcard benchmarks examples)
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# Several processes share few cores here; a second thread in each makes all of them slower.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: help setup chain contracts demo test slow lint types format reference lock clean

help:                 ## say what each word does
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

setup: $(VENV)/.built ## fill .venv with the locked packages and with skerry itself

$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or \
	    sys.exit("Python %d.%d will not do: call make with PYTHON=python3.11, 3.12 or 3.13" % v)'
	@echo "installing the locked packages into $(VENV); this takes minutes, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --requirement requirements.lock
	@touch $@

$(VENV)/.built: $(VENV)/.locked pyproject.toml setup.py $(NATIVE)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

chain: setup          ## install the local chain that the court runs on
	@$(BIN)/python -m scripts.chain

contracts: setup      ## compile the contracts into the package
	@$(BIN)/python -m scripts.contracts

demo: chain           ## train over 4 workers and among 6 strangers, kill some, catch a lie and a cheat
	@$(BIN)/python -m examples.demo

test: chain           ## the fast tests
	@$(BIN)/python -m pytest $(ARGS)

slow: chain           ## the tests that take seconds rather than milliseconds
	@$(BIN)/python -m pytest -m slow $(ARGS)

lint: setup           ## style, format, spelling, floors
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/codespell $(CODE) docs $(wildcard *.md) .ci .github
	@$(BIN)/lint-imports

types: setup          ## mypy, strict
	@$(BIN)/mypy $(CODE)

format: setup         ## repair what can be repaired without thought
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

reference: setup      ## write docs/reference from the code
	@$(BIN)/python -m scripts.reference

lock: setup           ## resolve the dependencies anew and write requirements.lock
	@$(BIN)/python -m scripts.lock

clean:                ## remove what the tools left, but not .venv
	@rm -rf build dist .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find src -name '*.so' -delete
	@rm -f $(VENV)/.built
