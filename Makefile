# Everything a stranger needs: Python 3.11, git, make. Nothing but packages is ever fetched.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo test slow check install lock bench clean

help:        ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: install   ## the whole road on the embedded sample movie
	$(BIN)/latentreel demo -o demo

test: check     ## formatter, linter, type checker, then all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

slow: install   ## the tests that take half a minute and more each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

check: install  ## formatter, linter and type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

install: $(VENV)/installed  ## the pinned packages into .venv

# uv installs the same pins as pip would, from the same index, in a tenth of the time.
$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.8"
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

lock: install   ## resolve again; the lock holds versions and hashes, no addresses
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock

bench: install  ## the benchmarks, one after the other
	$(BIN)/python -m benchmarks.modconv
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.faces
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.dataset

clean:          ## what the commands above made
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
