# Two commands do everything on a machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# How long `make gpu` may take, which preset it trains and where to.
MINUTES ?= 25
PRESET  ?= small
OUT     ?= runs/gpu

.PHONY: setup demo nano gpu test long browser bench readme lint lab clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    set up, then run all notebooks on the shipped weights; see results/index.html"
	@echo "make nano    the same from scratch at 32 px, nothing shipped is used"
	@echo "make gpu     train everything anew on a GPU in MINUTES=25 into OUT=runs/gpu; resumable"
	@echo "make test    set up, then run the tests"
	@echo "make long    the tests that take minutes to hours"
	@echo "make browser drive notebook 07 in JupyterLab, in Chromium"
	@echo "make bench   measure speed on this machine, into results/speed/"
	@echo "make readme  fill the README's tables from results/"
	@echo "make lab     open JupyterLab on the notebooks"
	@echo "make lint    ruff over code and notebooks"

setup: $(READY)

# The stamp is touched last, so that an interrupted installation is taken up again.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "xfer needs Python 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[lab,faces,cuda,dev]'
	@touch $(READY)

demo: $(READY)
	$(BIN)/xfer sample --weights small --out results/demo
	$(BIN)/xfer notebooks run --preset small

nano: $(READY)
	$(BIN)/xfer notebooks run 00 01 02 03 04 05 --preset nano
	$(BIN)/xfer notebooks run 06 --preset nano --set weights=../runs/nano/model.safetensors \
		judges=../runs/nano/judge/instruments.safetensors
	$(BIN)/xfer notebooks run 07 08 --preset nano --set weights=../runs/nano/model.safetensors

gpu: $(READY)
	$(BIN)/xfer train all --preset $(PRESET) --minutes $(MINUTES) --out $(OUT)

test: $(READY)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

long: $(READY)
	$(BIN)/python -m pytest -m long

browser: $(READY)
	$(BIN)/python -m pytest -m browser tests/browser

bench: $(READY)
	$(BIN)/python -m pytest -m benchmark tests/benchmarks --benchmark-json=results/speed/benchmark.json

readme: $(READY)
	$(BIN)/python -m xfer.notebooks.readme

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

lab: $(READY)
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
