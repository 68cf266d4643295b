# make demo and make test need Python 3.11+ and make, nothing else: they set up .venv themselves.

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test bench chaos chaos-mutations clean

help:
	@echo "make demo    start local nodes, fan a function out over 336,776 flights, show the result"
	@echo "make test    every check: format, lint, types, import layers, all tests, the tutorials"
	@echo "make bench   print the benchmark figures"
	@echo "make chaos   harm of every kind to real clusters, judged by their history (15 minutes; SEED=n repeats a run,"
	@echo "             ONLY=name picks faults; make chaos-mutations proves that the judge notices)"
	@echo "make clean   remove .venv and everything that was built or cached"
	@echo
	@echo "PYTHON=/path/to/python chooses the Python (3.11 or newer) that .venv is made from."

demo: $(VENV)/.installed-demo
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.installed-dev
	@$(BIN)/python scripts/check

bench: $(VENV)/.installed-dev
	@for file in benchmarks/[a-z]*.py; do PYTHONPATH=. $(BIN)/python "$$file" || exit 1; done

chaos: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

chaos-mutations: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.chaos.mutations $(if $(ONLY),--only $(ONLY))

clean:
	rm -rf $(VENV) build dist *.egg-info .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What "dev" installs includes what "demo" installs.
$(VENV)/.installed-demo: pyproject.toml
	$(call install,demo)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(call install,dev)
	@touch $(VENV)/.installed-demo $@

# A virtual environment that works is kept; a broken one (its Python is gone) is made anew.
define install
@if ! $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	chosen=; bare=; \
	for candidate in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11 python; do \
		[ -n "$$candidate" ] || continue; \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then chosen="$$candidate"; break; fi; \
		bare="$$candidate"; \
	done; \
	if [ -z "$$chosen" ] && [ -n "$$bare" ]; then \
		echo "$$bare cannot make virtual environments; install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; \
		exit 1; \
	fi; \
	if [ -z "$$chosen" ]; then \
		echo "nbcluster needs Python 3.11 or newer and found none; install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$chosen" --version)"; \
	"$$chosen" -m venv --clear $(VENV) || exit 1; \
fi; \
echo "Installing nbcluster[$(1)] into $(VENV)"; \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]'
endef
