# make chat    sets up .venv, opens the chat with the bundled model; without a terminal, a short conversation in lines
# make test    on a bare machine: sets up .venv, then runs every check and every test
# make demo    sets up .venv, trains for a minute on a small text, shows what the model writes
# make check   in a ready checkout: the checks and the quick tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# torch's threads soon sleep while they wait, rather than spin, so that tests do not crawl on a busy machine.
export GOMP_SPINCOUNT = 1000

# What is said where nobody types and nothing comes through a pipe.
SAID := Hello! How are you?\nWhat do you like to do?\nWhy do you like it?

.PHONY: setup chat test check lint quick slow demo bench clean

setup: $(READY)

# The pinned torch is a build for processors; an unpinned one may bring gigabytes for graphics cards.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $(READY)

chat: setup
	@if [ -t 0 ]; then exec $(BIN)/charlm chat smalltalk; fi; \
	said=$$(cat); [ -n "$$said" ] || said=$$(printf '$(SAID)'); \
	printf '%s\n' "$$said" | $(BIN)/charlm chat smalltalk --plain --echo

test: setup lint
	$(BIN)/python -m pytest

check: lint quick

lint: setup
	$(BIN)/ruff check charlm tests
	$(BIN)/ruff format --check charlm tests
	$(BIN)/mypy
	$(BIN)/lint-imports

quick: setup
	$(BIN)/python -m pytest -m 'not slow'

slow: setup
	$(BIN)/python -m pytest -m slow

demo: setup
	$(BIN)/charlm train corpora/harbour.txt --output demo --minutes 1 --force
	$(BIN)/charlm sample demo --prompt 'FERRYMAN' --chars 400 --seed 1

bench: setup
	$(BIN)/python -m tests.benchmarks.sampling

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
