# make chat        chat with the bundled model; without a terminal, a short conversation in plain lines
# make test        every check and every test but the campaigns; what CI runs
# make check       every check and the quick tests
# make test-all    every check and every test, with the campaigns: more kills, examples and cells of the same
# make campaign    random use of the chat, damaged files, kills, full disks; about an hour
# make demo        train for a minute on a small text, show what the model writes
#
# Each sets up .venv first, unless it is there and still right.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

# Named after a checksum of what is installed, so that a changed requirement, and only that, sets .venv up again.
REQUIREMENTS := $(shell sed '/^\[tool.ruff\]/,$$d' pyproject.toml | cat - constraints.txt | cksum | cut -d ' ' -f 1)
READY := $(VENV)/.ready-$(REQUIREMENTS)

# Idle OpenMP threads sleep instead of spinning: two test processes share the cores.
export GOMP_SPINCOUNT := 1000
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Messages of `make chat` when there is neither a terminal nor a pipe.
MESSAGES := Hello! How are you?\nWhat do you like to do?\nWhy do you like it?

.PHONY: setup chat test test-all campaign campaign-chat campaign-files check lint tests tests-all quick demo bench clean

setup: $(READY)

# The pinned torch is a build for processors; an unpinned one may bring gigabytes for graphics cards.
$(READY):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	rm -f $(VENV)/.ready*
	touch $(READY)

chat: setup
	@if [ -t 0 ]; then exec $(BIN)/charlm chat smalltalk; fi; \
	messages=$$(cat); [ -n "$$messages" ] || messages=$$(printf '$(MESSAGES)'); \
	printf '%s\n' "$$messages" | $(BIN)/charlm chat smalltalk --plain --echo

# The checks run next to the tests: together they keep two cores busy.
test: setup
	$(MAKE) --no-print-directory --jobs 2 lint tests

test-all: setup
	$(MAKE) --no-print-directory --jobs 2 lint tests-all

check: setup
	$(MAKE) --no-print-directory --jobs 2 lint quick

lint: setup
	$(BIN)/ruff check charlm docs tests
	$(BIN)/ruff format --check charlm docs tests
	$(BIN)/lint-imports
	$(BIN)/mypy

tests: setup
	$(PYTEST)

tests-all: setup
	$(PYTEST) -m '' --hypothesis-profile campaign

# Each campaign prints its figures; docs/reliability.md has those of the last run.
campaign: setup
	$(MAKE) -j2 campaign-chat campaign-files

campaign-chat: setup
	$(BIN)/python -m pytest -m campaign -s tests/tui/test_monkey.py tests/chat/test_histories.py tests/chat/test_processes.py

campaign-files: setup
	$(BIN)/python -m tests.campaigns.damaged_files 25000
	$(BIN)/python -m pytest -m campaign -s tests/chat/test_kill.py
	$(BIN)/python -m tests.campaigns.kills 350
	$(BIN)/python -m tests.campaigns.full_disk 20

quick: setup
	$(PYTEST) -m 'not slow and not campaign'

demo: setup
	$(BIN)/charlm train corpora/harbour.txt --output demo --minutes 1 --force
	$(BIN)/charlm sample demo --prompt 'FERRYMAN' --chars 400 --seed 1

bench: setup
	$(BIN)/python -m tests.benchmarks.sampling

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
