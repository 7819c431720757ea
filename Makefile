# make setup | demo | test | formal | coverage | bench | mutants | lint | clean. All lives in .venv; it takes Python 3.11+, g++, make, perl.
# make PYTHON=/path/to/python3.12 setup takes that interpreter; without PYTHON the first that is new enough is taken.
PYTHON ?= python3.11 python3 python3.12 python3.13
BIN := .venv/bin
JOBS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)

.PHONY: setup demo test formal coverage bench mutants lint clean

# Matrices here are small: BLAS threads would mostly wait for each other, and the last bits would depend on their number.
export OPENBLAS_NUM_THREADS := 1

# What is compiled already, of this very source, is left as it is.
setup: .venv/ready
	@$(BIN)/python -m dataflow.machine.native

# Installed again when a pin changes. -qq: pip stays silent but for errors.
.venv/ready: pyproject.toml
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "setting up .venv with $$($$python --version)"; \
	    $$python -m venv .venv; exit; \
	  fi; \
	done; echo "Python 3.11 or later is needed; none of these is: $(PYTHON)" >&2; exit 1
	@echo "installing the pinned packages (780 MB) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[test]'
	@touch $@
	@echo "ready: $(BIN)/nmtrain --help"

demo: setup
	$(BIN)/nmtrain demo --out out/demo

test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# The proofs of make test, twice as many cycles deep.
formal: setup
	$(BIN)/python -m pytest tests/formal -n $(JOBS) --deeper 2 --durations 10

# Lines, branches and toggles of the RTL, by module; fails where one is not covered and no reason is known.
coverage: setup
	$(BIN)/python -m sim.stress.coverage out

# Synthesis and place and route, which only measurements need.
.venv/synth: .venv/ready
	@echo "installing the synthesis tools ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[synth]'
	@touch $@

# All figures, or some: make bench ONLY=engine, or ONLY=accelerator.command_words
bench: .venv/synth
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench $(ONLY)

# Defects planted one at a time: what share of them the tests notice, by module. make mutants ONLY=reports COUNT=50 SEED=1
mutants: setup
	PYTHONPATH=. $(BIN)/python tests/mutants.py $(ONLY) --count $(or $(COUNT),300) --seed $(or $(SEED),0)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(wildcard dataflow/machine/units/*.?pp tests/support/*.cpp)
	$(BIN)/mypy

clean:
	rm -rf out build
