# make demo | test | field | fuzz | lint | docs | wheel | bench | base | base-64 | judge | quality | clean. Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
PROCESSES ?= 2
N ?= 1500
VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml constraints.txt
# -qq hides pip's progress and warnings, not its errors
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.PHONY: help demo test field fuzz lint docs wheel bench base base-64 judge quality clean

help:
	@echo "make demo    install the editor, draw a sheet of examples/astronaut.png into demo/"
	@echo "make test    install everything, run the tests: PROCESSES=2, and ARGS='-k paste' for some of them"
	@echo "make field   try what real photos, files and users brought, and print the table"
	@echo "make fuzz    read damaged files of every kind: N=1500 of each, and ARGS='--kind parquet' for some of them"
	@echo "make lint    check style, format and types"
	@echo "make docs    build the documentation into site/, strictly"
	@echo "make wheel   build the distributions into dist/, install the wheel on its own and use it"
	@echo "make bench   run the measurements in bench/"
	@echo "make base    train the next emorph-base from its data: PACKS=FOLDER CLIPS=FOLDER, a day (run it again to resume)"
	@echo "make base-64 train emorph-base again: DATA=lfw_expressions.parquet, hours (run it again to resume)"
	@echo "make judge   train emorph-judge again: DATA=fer2013.parquet, half an hour or more"
	@echo "make quality measure the bundled model's edits: DATA=lfw.parquet"
	@echo "make clean   remove what these made"

demo: $(VENV)/.core
	@$(BIN)/emorph sheet examples/astronaut.png -o demo

# Each process has one thread, or they would wait for each other; and takes whole groups, in the order of conftest.py.
# What is compiled is kept, whatever the environment says: tests start Python a hundred times.
test: $(VENV)/.dev
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder $(ARGS)

field: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(BIN)/python tests/field/table.py

fuzz: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(BIN)/python fuzz/run.py --n $(N) $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

docs: $(VENV)/.dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

wheel: $(VENV)/.dev
	@.ci/wheel $(BIN)/python

bench: $(VENV)/.dev
	@set -e; for script in bench/*.py; do \
	  test -f "$$script" || { echo "there is no measurement in bench/ yet" >&2; exit 1; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; done

# Each part goes on where it was stopped, and is not trained again once it is finished.
base: $(VENV)/.dev
	@test -d "$(PACKS)" && test -d "$(CLIPS)" || { \
	  echo "name the folders of packs and of films: make base PACKS=faces CLIPS=clips" >&2; exit 1; }
	@$(BIN)/python examples/emorph-base/make_base.py "$(PACKS)" "$(CLIPS)"

base-64: $(VENV)/.dev
	@test -f "$(DATA)" || { echo "name the face pack: make base-64 DATA=lfw_expressions.parquet" >&2; exit 1; }
	@$(BIN)/python examples/train.py examples/emorph-base-64 "$(DATA)"

judge: $(VENV)/.dev
	@test -f "$(DATA)" || { echo "name FER-2013's pictures: make judge DATA=fer2013.parquet" >&2; exit 1; }
	@$(BIN)/python examples/train.py examples/emorph-judge "$(DATA)"

quality: $(VENV)/.dev
	@test -f "$(DATA)" || { echo "name the face pack: make quality DATA=lfw.parquet" >&2; exit 1; }
	@$(BIN)/python bench/quality.py --data "$(DATA)" $(ARGS)

clean:
	rm -rf $(VENV) demo build dist site .pytest_cache .ruff_cache .mypy_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamps say what is installed; they are renewed when a dependency or a pin changes.
$(VENV)/.core: $(VENV)/pyvenv.cfg $(INPUTS)
	@echo "installing emorph into $(VENV) (once; the largest part is torch)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg $(INPUTS)
	@echo "installing emorph with what training, bench and tests need into $(VENV) (once)"
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.core $@

$(VENV)/pyvenv.cfg:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "$(PYTHON) not found; emorph needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "emorph needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
