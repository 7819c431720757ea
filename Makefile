# make setup | demo | test | bench | lint ; everything runs in .venv, which needs only Python 3.11, g++, make and perl.
PYTHON ?= python3.11
BIN := .venv/bin
JOBS ?= $(shell nproc)

.PHONY: setup demo test lint clean

setup: .venv/ready

# Installed again when a pin changes.
.venv/ready: pyproject.toml
	$(shell command -v $(PYTHON) || command -v python3) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: setup
	$(BIN)/nmtrain demo --out out/demo

test: setup lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf out build
