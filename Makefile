# Every target sets up what it needs; a fresh machine only has to bring make and Python 3.11 or newer.
#
#   make run     the dashboard on http://127.0.0.1:8501, and the demo training behind it
#   make demo    the demo training in the foreground, then its table
#   make test    every test; make test PYTEST_ARGS="-k share" chooses some
#   make check   formatting, lint, types
#   make pictures  the pictures of the documentation, taken anew
#   make fuzz    20,000 damaged logs through every reader (FUZZ=2000 for fewer)
#   make bench   error rates and run times, measured anew (RUNS=200 for a rough table)
#
# Settings: PORT, PYTHON, VENV, WORKERS (test processes), and PIP_ARGS for the first set-up:
#   make run PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8501
PIP_ARGS ?=
PYTEST_ARGS ?=
FUZZ ?= 20000
# Each worker loads torch, so that more than a few cost more memory than they save time.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))
DEMO := runs/demo

bin := $(VENV)/bin
pip := $(bin)/python -m pip install --disable-pip-version-check $(PIP_ARGS)
torch := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.txt)
app_files := requirements-dashboard.txt requirements.txt
dev_files := $(app_files) requirements-dev.txt
# The stamp's name holds the content of the files, so an edit, not a newer date, installs again.
sum = $(shell cat $(1) | cksum | tr ' ' '-')
app_stamp := $(VENV)/seesaw-app-$(call sum,$(app_files))
dev_stamp := $(VENV)/seesaw-dev-$(call sum,$(dev_files))

.PHONY: help run demo test check pictures fuzz bench
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   make/  make/p' Makefile

$(bin)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Seesaw needs Python 3.11 or newer; name one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and alone: any build of the pinned version then satisfies everything after it.
$(app_stamp): | $(bin)/python
	$(pip) $(torch)
	$(pip) -r requirements.txt
	@rm -f $(VENV)/seesaw-app-* && touch $@

$(dev_stamp): | $(app_stamp)
	$(pip) -r requirements-dev.txt
	@rm -f $(VENV)/seesaw-dev-* && touch $@

# Both processes run behind `wait`, so that a signal reaches the trap at once and neither outlives make.
# The demo goes on where it was stopped, and ends at once where it is complete.
run: $(app_stamp)
	@server= training=; \
	trap 'kill $$server $$training 2>/dev/null; wait' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP; \
	mkdir -p $(DEMO); \
	nice $(bin)/python -m trainer demo --output_dir $(DEMO) >$(DEMO).log 2>&1 </dev/null & training=$$!; \
	echo "The demo training works in the background; what it says goes to $(DEMO).log"; \
	$(bin)/python -m streamlit run app.py --server.headless true \
	  --server.address 127.0.0.1 --server.port $(PORT) </dev/null & server=$$!; \
	wait $$server

demo: $(app_stamp)
	$(bin)/python -m trainer demo --output_dir $(DEMO)

test: $(dev_stamp)
	$(bin)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

check: $(dev_stamp)
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

pictures: $(dev_stamp)
	SEESAW_PICTURES=docs/images $(bin)/python -m pytest tests/browser/test_pictures.py

fuzz: $(dev_stamp)
	SEESAW_FUZZ=$(FUZZ) nice $(bin)/python -m pytest tests/diagnostics/readers/test_mutation.py

bench: $(dev_stamp)
	OMP_NUM_THREADS=1 $(bin)/python -m benchmarks $(BENCHMARKS)
