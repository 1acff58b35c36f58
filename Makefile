# make run    sets up, then takes Shakespeare's plays to a registered model
# make test   sets up, then runs the tests; make test-slow: every shipped recipe in small, with its real data
# make same   after a change of the code: shows that it gives the same bytes

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
RECIPE ?= shakespeare

export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
unexport PYTHONDONTWRITEBYTECODE # it would have every stage compile again, for half of its time, what it imports
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test test-slow same lint format bench bench-peers ui prove-schedule setup lock clean

run: $(READY)
	gristmill run $(RECIPE)

test: $(READY)
	python -m pytest

test-slow: $(READY)
	python -m pytest -m slow -n 0

same: $(READY) # changed code gives the same bytes: list it, so that no stage runs again
	python -m tests.same $(if $(FROM),--from $(FROM)) $(if $(NEW),--new $(NEW)) $(if $(RENAMED),--renamed $(RENAMED))
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

bench-peers: $(READY) # beside ours, what `make bench` compares it with
	infra/install.sh $(PYTHON) $(VENV) bench

ui: $(READY)
	python -m flows.cli.ui

prove-schedule: $(READY) # a real server, a worker, schedules that fire, runs that complete
	python -m pytest tests/flows/prove_schedule.py

setup: $(READY)

$(READY): requirements.lock pyproject.toml infra/install.sh
	infra/install.sh $(PYTHON) $(VENV)
	touch $@

lock: # resolve the newest versions that pyproject.toml allows
	infra/install.sh $(PYTHON) $(VENV) lock

clean: # everything that is made here; the cache of DVC stays
	rm -rf $(VENV) mlflow.db mlruns
