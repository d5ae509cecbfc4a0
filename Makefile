# Everything happens in .venv, which is made at first use. Python 3.10 or newer is all that is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-all lint mutants list doctor bench readme clean

train: .venv/run
	$(BIN)/tinycnn train go-crazy

# On all cores: half of the time goes into compilers, which wait for one another in a single process.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

# Minutes: everything but what is marked slow, and of many tests that are alike every n-th.
test: .venv/test
	$(PYTEST)

# The rest too: every mutant, every documented network, every architecture.
test-all: test
	$(PYTEST) -m 'slow or alike'

lint: .venv/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.venv/lint: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[lint]'
	@touch $@

# Broken gradients and kernels, each of which has to be caught.
mutants: .venv/test
	$(BIN)/python tests/gradients/run_mutants.py

list doctor: .venv/run
	$(BIN)/tinycnn $@

bench: .venv/test
	$(BIN)/python benchmarks/train_frameworks.py

readme: .venv/run
	$(BIN)/python benchmarks/readme_tables.py
	$(BIN)/python docs/pictures.py

# The site, into site/: links and anchors are checked, and it needs no network.
.PHONY: docs
docs: .venv/docs  # not --quiet, which would hide the warnings that --strict counts
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo site/index.html

.venv/docs: .venv/made setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@ .venv/run

# The venvs' marks: made again when what is to be installed has changed.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit("tinycnn needs Python 3.10 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: .venv/made setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/test: .venv/made setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ .venv/run

clean:
	rm -rf .venv build site *.egg-info .pytest_cache
