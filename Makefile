# Two commands set everything up: `make quickstart` and `make test`. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: quickstart test check format clean

quickstart: $(VENV)/.quickstart
	$(BIN)/autodistill run experiment=quickstart

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("AutoDistill needs Python 3.11 or newer; give PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.quickstart: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e '.[quickstart]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt plugins/autodistill-template/pyproject.toml
	$(PIP) install --quiet -c constraints.txt -e '.[dev]' -e plugins/autodistill-template
	touch $@ $(VENV)/.quickstart
