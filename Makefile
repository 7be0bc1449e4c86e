# Two commands on a fresh machine: `make demo` and `make test`. Each makes its own virtual environment in the clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(shell find native -type f)

.PHONY: demo test test-slow lint bench install native clean
demo: $(STAMP)
	$(BIN)/paring demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

install: $(STAMP)

# Quick incremental rebuild of the native module while working on it.
native: $(STAMP)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .

# Reinstalled only when the native sources or the requirements change; Python sources are used in place.
$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf build $(VENV) out
