# Two commands on a fresh machine: `make demo` and `make test`. Each makes its own virtual environment in the clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := $(VENV)/.requirements
STAMP := $(VENV)/.installed
NATIVE := $(shell find native -type f)

.PHONY: demo test test-slow fuzz lint bench install native clean
demo: $(STAMP)
	$(BIN)/paring demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

# Coverage-guided fuzzing, FUZZ_SECONDS each: the native decoders (clang's libFuzzer with sanitizers), and whole files
# whose checksums hold (atheris, installed here). Finds are left in build/fuzz.
FUZZ_SECONDS ?= 600
FUZZ := build/fuzz
fuzz: $(STAMP)
	mkdir -p $(FUZZ)/decoders.corpus $(FUZZ)/files.corpus
	clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Inative \
	  tests/fuzz/decoders.cc native/coding/logistic.cc -o $(FUZZ)/decoders
	$(FUZZ)/decoders -max_len=4096 -timeout=10 -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(FUZZ)/ \
	  $(FUZZ)/decoders.corpus tests/fuzz/seeds/decoders
	$(PIP) -c constraints.txt atheris
	$(BIN)/python tests/fuzz/files.py $(FUZZ)/files.corpus tests/fuzz/seeds/files -max_len=16384 -timeout=10 \
	  -rss_limit_mb=1024 -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(FUZZ)/

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
