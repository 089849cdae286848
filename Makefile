# Two commands do everything on a machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo test long browser bench lint lab clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   install into $(VENV) and fetch the files that xfer uses (a few minutes, once)"
	@echo "make demo    set up, then run the notebooks; see results/index.html"
	@echo "make test    set up, then run the tests"
	@echo "make long    the tests that take minutes to hours"
	@echo "make browser drive the explorer in JupyterLab, in Chromium"
	@echo "make bench   measure speed on this machine, into results/speed/"
	@echo "make lab     open JupyterLab on the notebooks"
	@echo "make lint    ruff over code and notebooks"

setup: $(READY)

# The stamp is touched last, so that an interrupted installation is resumed.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "xfer needs Python 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[lab,faces,cuda,dev]'
	@$(BIN)/xfer weights fetch
	@touch $(READY)

demo: $(READY)
	$(BIN)/xfer notebooks run

test: $(READY)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --ignore tests/training --ignore tests/test_prepare.py
	$(BIN)/python -m pytest tests/training tests/test_prepare.py -p no:xdist

long: $(READY)
	$(BIN)/python -m pytest -m long

browser: $(READY)
	$(BIN)/python -m pytest -m browser

bench: $(READY)
	$(BIN)/python -m pytest -m benchmark --benchmark-json=results/speed/benchmark.json

lab: $(READY)
	$(BIN)/jupyter lab notebooks

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
