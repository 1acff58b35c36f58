# make run         set up, then train and register a model on Shakespeare's plays
# make test        set up, then run the tests
# make test-slow   run every shipped recipe in small, with real data
# make same        after a change of the code: show that it gives the same bytes

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
RECIPE ?= shakespeare

export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
unexport PYTHONDONTWRITEBYTECODE # without .pyc files every stage spends half of its time compiling its imports
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test test-slow same lint format bench bench-peers ui prove-schedule setup lock clean

run: $(READY)
	gristmill run $(RECIPE)

test: $(READY)
	python -m pytest

test-slow: $(READY)
	python -m pytest -m slow -n 0

same: $(READY) # changed code gives the same bytes: list it, so that no stage runs again
	python -m tests.same $(if $(FROM),--from $(FROM)) $(if $(NEW),--new $(NEW)) $(if $(RENAMED),--renamed $(RENAMED)) $(if $(MESSAGES),--messages) $(if $(WHY),--why '$(WHY)')
	dvc repro --quiet code

lint: $(READY)
	ruff format --check .
	ruff check .
	mypy

format: $(READY)
	ruff format .
	ruff check --fix .

bench: $(READY)
	python -m benchmarks

bench-peers: $(READY) # install the libraries that `make bench` compares with
	infra/install.sh $(PYTHON) $(VENV) bench

ui: $(READY)
	python -m flows.cli.ui

prove-schedule: $(READY) # schedules on a real server with a worker
	python -m pytest tests/flows/prove_schedule.py

setup: $(READY)

# Copied or moved: scripts and imports of the environment name the old folder. Or it has another Python: the one that it
# was made with is gone, or PYTHON= names a new one. The shell compares, because a path may hold quotes, commas or `$`.
GIVEN := $(if $(filter command environment,$(firstword $(origin PYTHON))),$(PYTHON),$(BIN)/python)
VERSION := import sys; print(sys.version_info[:2])
FITS := test "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" && \
	test "$$($(BIN)/python -c '$(VERSION)' 2>/dev/null || echo none)" = "$$($(GIVEN) -c '$(VERSION)' 2>/dev/null)"

$(READY): requirements.lock pyproject.toml infra/install.sh infra/installer.lock
	@echo "setting up $(VENV)"
	@infra/install.sh $(PYTHON) $(VENV) $$({ $(FITS); } && echo install || echo anew)
	@pwd -P > $@

ifneq ($(shell { $(FITS); } || echo not),)
.PHONY: $(READY)
endif

lock: # lock the newest versions that pyproject.toml allows
	infra/install.sh $(PYTHON) $(VENV) lock

clean: # remove the environment and the MLflow record; keep DVC's cache
	rm -rf $(VENV) mlflow.db mlruns sweeps.db
