# Everything a user or developer runs. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 7
FAULTS ?= 6
OUT ?=

.DEFAULT_GOAL := help
.PHONY: help install demo up test check hunt format bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## create .venv with MicroServo and the tools that test it

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"MicroServo needs Python 3.11, 3.12 or 3.13, this is {v[0]}.{v[1]}; try: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install ## run the main job: break a real system, label it, score it, keep the dataset
	$(BIN)/microservo demo --seed $(SEED) --faults $(FAULTS) $(if $(OUT),--out $(OUT))

up: install ## run the whole system until Ctrl-C
	$(BIN)/microservo up

check: install ## the quick half: format, lint, types, import contracts, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit tests/contract -m 'not integration' -q -n 2

# More workers than cores: most of these tests wait, for groups, restarts and time to pass.
test: check ## everything, on a real broker and real processes
	$(BIN)/pytest tests/contract tests/integration -m integration -q -n 4 --dist worksteal
	$(BIN)/pytest tests/e2e -m e2e -q

hunt: install ## try the rules of the domain on thousands of new examples, which takes long
	MICROSERVO_TEST_EXAMPLES=hunt $(BIN)/pytest tests/unit -m hypothesis -q -n 2

format: install ## put the code into the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## measure against peers and the limit; writes benchmarks/results
	$(BIN)/python -m benchmarks

clean: ## remove what was installed and built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
