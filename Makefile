# Each target does all of its own set-up, so that any of them is the first command on a fresh machine.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench format

VENV := .venv/bin
# Hundreds of processes start here; compiling every module anew in each of them takes as long as the rest.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: ## the whole story in one terminal (make demo ARGS=--yes decides by script)
	@scripts/setup.sh demo $(ARGS)
	@$(VENV)/hitl demo $(ARGS)

test: ## format, lint, types, import contracts, documentation and the whole test suite
	@scripts/setup.sh test
	@scripts/test.sh $(ARGS)

check: ## the static checks alone
	@scripts/setup.sh check
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/pyright
	$(VENV)/lint-imports --no-logo

format: ## rewrite the sources as ruff wants them
	@scripts/setup.sh check
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

bench: ## measure against the protocol floor; writes benchmarks/results.json
	@scripts/setup.sh bench
	@$(VENV)/python -m benchmarks $(ARGS)
