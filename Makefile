PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
BENCH_STAMP := .venv/.bench
PROJECTS := pyproject.toml client/pyproject.toml
EDITABLE := -e '.[dev]' -e 'client[cli,test]'
UV := $(shell command -v uv)

# A lasting file unless TRACEHUB_DB says otherwise; `exec`, so that signals reach the program itself.
LASTING = [ -n "$$TRACEHUB_DB" ] || { mkdir -p -m 700 var && export TRACEHUB_DB="$$PWD/var/tracehub.db"; }
RUN = @$(LASTING); exec $(BIN)/python -m

# What is installed names this folder: one that was moved or copied is set up anew, or another's code would run.
ifneq ($(or $(shell cat $(STAMP) 2>/dev/null),$(CURDIR)),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help setup chosen run-all run-ingest run-query demo screenshots test test-hard test-hard-proves
.PHONY: bench bench-quick bench-growth profile lint types clean

help: ## say what there is
	@echo "TraceHub: checkpoint traces in, whole chains out, live."
	@echo
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 26
	@echo
	@echo "Settings are TRACEHUB_* variables: deploy/tracehub.env.example has them all."

setup: $(STAMP) ## make .venv with all that is needed (PYTHON=python3.12 chooses one)

run-all: setup ## run both services, supervised: 8099 takes in, 8100 answers; Ctrl-C stops them
	$(RUN) tracehub_server

run-ingest: setup ## run the ingest service alone
	$(RUN) ingest_svc

run-query: setup ## run the query service alone
	$(RUN) query_svc

demo: setup ## three little services that call each other, one slow, one that dies: something to look at
	@$(LASTING); exec $(BIN)/python bench/demo.py

screenshots: setup ## take the pictures of docs/ anew, from a run of the demo
	@$(BIN)/python bench/screenshots.py

test: setup ## run the tests
	@$(BIN)/python -m pytest

test-hard: setup ## try every promise until it would break, an hour or so; ROWS="crash clock" for some, QUICK=1, HOUR=1, RESUME=1
	@PYTHONPATH=tests $(BIN)/python -m hard $(ROWS) $(if $(QUICK),--quick) $(if $(HOUR),--hour) $(if $(RESUME),--resume)

test-hard-proves: setup ## break copies of the product on purpose and see the right row of test-hard go red each time
	@PYTHONPATH=tests $(BIN)/python -m hard.proves $(MUTANTS)

lint: setup ## check style
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

types: setup ## check types
	@$(BIN)/python -m mypy
	@cd client && ../$(BIN)/python -m mypy

bench: $(BENCH_STAMP) ## measure everything, about twelve minutes; bench/README.md then has the figures
	@$(BIN)/python bench/run.py

bench-quick: $(BENCH_STAMP) ## measure the most important, about a minute
	@$(BIN)/python bench/run.py --quick

profile: $(BENCH_STAMP) ## say where the time of each path goes, in bench/profiles/, about a minute
	@$(BIN)/python bench/profiling.py

bench-growth: $(BENCH_STAMP) ## measure growth to 30 million entries, about five minutes and 6 GB of disk
	@$(BIN)/python bench/run.py --growth

clean: ## remove .venv and everything made; var/, with the traces, stays
	rm -rf .venv build dist *.egg-info client/build client/dist client/src/*.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ifdef UV
$(STAMP): $(PROJECTS)
	@echo "Setting up .venv with uv ..."
	@uv venv -q --allow-existing $(if $(filter file,$(origin PYTHON)),,--python "$(PYTHON)") .venv
	@uv pip install -q --python $(BIN)/python $(EDITABLE)
	@pwd -P > $@

$(BENCH_STAMP): $(STAMP)
	@uv pip install -q --python $(BIN)/python -e '.[bench]'
	@touch $@
else
ifneq ($(origin PYTHON),file)
$(STAMP): | chosen
endif

chosen:
	@[ ! -x $(BIN)/python ] || [ "$$("$(PYTHON)" -V 2>&1)" = "$$($(BIN)/python -V)" ] || { \
	  echo "make: .venv has $$($(BIN)/python -V), $(PYTHON) is $$("$(PYTHON)" -V 2>&1): make clean removes it" >&2; exit 1; }

$(STAMP): $(PROJECTS)
	@command -v "$(PYTHON)" >/dev/null || { echo "make: $(PYTHON) is not there: install Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$("$(PYTHON)" -V) is too old:" \
	  "TraceHub needs 3.11 or newer, for instance make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $$("$(PYTHON)" -V) has no venv:" \
	  "apt install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv ..."
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check $(EDITABLE)
	@pwd -P > $@

$(BENCH_STAMP): $(STAMP)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@
endif
