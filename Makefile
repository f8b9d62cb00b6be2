# make demo   the whole pipeline on synthetic people: nothing to download but Python packages
# make test   lint, types and all fast tests;  make test-slow: the slow ones
# Everything is installed into .venv; the second time it is all there already.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
INSTALLED := $(VENV)/.installed
# A process a core; the tests of one file stay together, since they share what is costly to make.
PYTEST := $(VENV)/bin/pytest --numprocesses auto --maxprocesses 8 --dist loadfile

.PHONY: demo test test-slow lint types format docs clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(VENV)/bin/speechpriv run configs/assistant.yaml

test: lint types
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)
	$(PYTEST) -m slow

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(INSTALLED)
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The documents as a site, in site/; the pages of the API come from docstrings. Never with --quiet: it hides warnings
# before --strict counts them.
docs: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "speechpriv needs Python 3.11 or 3.12; got $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "No virtual environment could be made. On Debian: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[voices,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
