# make figures                        every figure and table, profile quick: 2 CPU cores, minutes
# make figures PROFILE=paper ONLY=01  the paper's settings, chosen notebooks
# make test                           the tests; some of them: make test ARGS="-m data"
# make lab                            JupyterLab on the notebooks (as root: make lab ARGS=--allow-root)
PYTHON ?= python3
PROFILE ?= quick
ONLY ?=
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python -m

.PHONY: figures test lint lab clean

figures: $(VENV)/.ready
	$(RUN) replication figures --profile "$(PROFILE)" --only "$(ONLY)"

test: $(VENV)/.ready
	$(RUN) pytest $(ARGS)

lint: $(VENV)/.ready
	$(RUN) ruff check
	$(RUN) ruff format --check

lab: $(VENV)/.ready
	$(RUN) jupyterlab $(ARGS) notebooks

clean:
	rm -rf $(VENV) figures/quick figures/smoke

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("error: Python 3.11 or newer is needed, $(PYTHON) is %d.%d; try make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --disable-pip-version-check --requirement requirements.txt
	$(RUN) pip install --disable-pip-version-check --no-deps --editable .
	@touch $@
