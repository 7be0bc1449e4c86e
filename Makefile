# Two commands on a fresh machine: `make demo` and `make test`. Each makes its own virtual environment in the clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := $(VENV)/.requirements
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
native: $(STAMP)

# Python sources are used in place; the requirements are installed again when they change, the native module is
# rebuilt, and only what changed of it, when its sources do.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
$(REQUIREMENTS): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt "scikit-build-core>=0.11" "nanobind>=2.4" \
	  $$(command -v cmake >/dev/null || echo cmake) $$(command -v ninja >/dev/null || echo ninja)
	$(PIP) -c constraints.txt --no-build-isolation -e ".[dev]"
	touch $(REQUIREMENTS) $(STAMP)

$(STAMP): $(REQUIREMENTS) $(NATIVE)
	$(PIP) --no-build-isolation --no-deps -e .
	touch $(STAMP)

clean:
	rm -rf build $(VENV) out paring-demo
