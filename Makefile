# Every target sets itself up: a virtual environment in .venv with pinned packages, made once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One waiting thread must not spin while the other works (two cores stall each other 6–8 × otherwise).
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-slow check bench setup train weights clean

demo: setup  ## the main job in four minutes; open demo/report.html
	$(BIN)/uip2p demo --out demo

# Two processes of one thread each: half the time of one of two threads. In the order of the folders: by number of tests,
# files of few and long tests would come last, and one process would wait for the other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: setup  ## the test suite, under ten minutes on two cores
	$(PYTEST)

test-slow: setup  ## what takes minutes: speed limits, long kill-and-resume runs
	$(BIN)/pytest -m slow

check: setup  ## lint, types, tests
	$(BIN)/ruff check src tests tools benchmarks recipes integrations
	$(BIN)/mypy
	$(PYTEST)

# Alone on the machine, waiting threads may spin; glibc keeps what a step frees for the next one.
bench: export OMP_WAIT_POLICY = ACTIVE
bench: export MALLOC_MMAP_MAX_ = 0
bench: export MALLOC_TRIM_THRESHOLD_ = 34359738368
bench: setup  ## the step of training beside the plain way: the miniature's, then Stable Diffusion 1.5's; 10 minutes
	$(BIN)/python benchmarks/cycle_step.py --mini
	$(BIN)/python benchmarks/cycle_step.py

train: setup  ## the whole miniature from nothing, resumable; the cost is printed first
	$(BIN)/uip2p train --recipe mini

weights: setup  ## pack runs/mini into src/uip2p/assets as fp16, with the card
	$(BIN)/python tools/ship.py --root runs/mini

setup: $(VENV)/ready

# The CPU build of torch is asked for by exact version first, so that no gigabytes of CUDA come in by accident. With a
# GPU: make setup TORCH="torch" (or any build you like), before anything else.
TORCH ?= torch==2.13.0
$(VENV)/ready: pyproject.toml requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) demo runs
