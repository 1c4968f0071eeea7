# Two commands matter: `make demo` and `make test`. Both set up everything they need.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .cache/uv/bin/uv
BIN := .venv/bin
SETUP := .venv/.set-up
ASSETS := server/web/static/vendor/.installed
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-check demo-reset check test bench format lint types contracts parameters fast assets prerequisites clean

help: ## Show what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(SETUP) ## Create .venv from the lock file

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vitalwire needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "[set-up 1/3] package installer"
	@$(PYTHON) -m venv .cache/uv || \
	  { echo "python3 -m venv failed; on Debian or Ubuntu install it with: apt install python3-venv" >&2; exit 1; }
	@.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(SETUP): pyproject.toml uv.lock | $(UV)
	@echo "[set-up 2/3] locked Python packages (about a minute the first time)"
	@UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --all-extras --quiet --python $(PYTHON)
	@touch $@

assets: $(ASSETS)

$(ASSETS): package.json package-lock.json | $(SETUP)
	@echo "[set-up 3/3] browser libraries (htmx, uPlot)"
	@$(BIN)/python -m server.web.assets install
	@touch $@

prerequisites: $(SETUP)
	@$(BIN)/python -m server.demo.prerequisites test

demo: $(SETUP) $(ASSETS) ## Start the whole system with three simulated homes; prints one page to open
	@$(BIN)/python -m server.demo.prerequisites demo
	@exec $(BIN)/vitalwire demo

demo-check: $(SETUP) $(ASSETS) ## Start the system unattended and follow one reading through all its stamps
	@$(BIN)/python -m server.demo.prerequisites demo
	@$(BIN)/vitalwire demo --check

demo-reset: $(SETUP) ## Forget the data of the demo
	@$(BIN)/vitalwire demo --reset

format: $(SETUP) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(SETUP)
	$(BIN)/mypy

contracts: $(SETUP)
	$(BIN)/lint-imports

parameters: $(SETUP)
	$(BIN)/vitalwire billing rules lint

fast: $(SETUP) $(ASSETS)
	$(BIN)/pytest -q -n $(WORKERS) tests/unit tests/property tests/billing_cases tests/architecture

check: lint types contracts parameters fast ## Format, lint, types, import contracts, unit + property + cases

test: check prerequisites assets ## Everything: check, then real database, broker, radio and browser
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup tests/integration tests/e2e

bench: $(SETUP) prerequisites ## Measure; figures and commands are in tests/bench/README.md
	$(BIN)/python -m tests.bench

clean: ## Remove what set-up made
	rm -rf .venv .cache node_modules server/web/static/vendor
