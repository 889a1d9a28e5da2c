# Every target makes its own virtual environment first, with the newest usable Python that pyproject.toml names.
# Another one: make test PYTHON=python3.11
SHELL := /bin/sh
PYTHON ?=
export PYTHON
ARGS ?=
# Each file's tests run on one worker: what they share is started once, and judged as a whole. Many wait for something,
# so there are two workers more than cores, and of all tests, of which most of the time is waiting, four more. Files come
# in their own order, which has the long ones (e2e, integration) first.
WORKERS ?=
MORE = 2
XDIST = -n $(or $(WORKERS),$$(($$(getconf _NPROCESSORS_ONLN) + $(MORE)))) --dist loadfile --no-loadscope-reorder
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo compiled test test-all coverage check format bench test-deps clean

help:
	@echo "make demo       see it work: an embedded server, two clients and a hop that breaks WebSockets (ARGS=--headless: no timeline)"
	@echo "make test       the quick tests; they need only Python       (ARGS='-k word' passes options to pytest)"
	@echo "make test-all   all tests; needs what make test-deps installs"
	@echo "make coverage   branch coverage of the packages that must have 95 %"
	@echo "make check      format, lint, types, import contracts"
	@echo "make bench      the benchmark of docs/benchmarks.md"
	@echo "make test-deps  install servers, a browser and Node packages for the larger tests (starts none of them)"
	@echo "make clean      remove environments, caches and build results"

demo:
	@venv=$$(sh .ci/env) && exec "$$venv/bin/python" -m wsinspect demo $(ARGS)

# With a Python for which nothing is compiled yet each worker would compile everything for itself: it is done once, on
# two cores.
compiled:
	@venv=$$(sh .ci/env test) && python=$$venv/bin/python && { [ -e "$$venv/.compiled" ] || { \
	"$$python" -m compileall -q -j 0 wsinspect tests/support && \
	{ "$$python" -m pytest --collect-only -qq tests/unit & \
	  "$$python" -m pytest --collect-only -qq tests --ignore=tests/unit; wait; } >/dev/null && \
	touch "$$venv/.compiled"; }; }

test: export HYPOTHESIS_PROFILE ?= quick
test: compiled
	@venv=$$(sh .ci/env test) && exec "$$venv/bin/python" -m pytest -q $(XDIST) -m "not lab and not slow" $(ARGS)

test-all: MORE = 4
test-all: compiled
	@venv=$$(sh .ci/env test) && exec "$$venv/bin/python" -m pytest -q $(XDIST) $(ARGS)

# Only tests of these packages that run in pytest's own process: each package has to be covered by its own.
COVERED = wire handshake filters faults findings
coverage: compiled
	@venv=$$(sh .ci/env test coverage) && bin="$$venv/bin" && \
	"$$bin/python" -m pytest -q $(XDIST) -m "not lab" $(COVERED:%=--cov=wsinspect.%) --cov-branch --cov-report= \
	    $(COVERED:%=tests/unit/%) tests/property tests/playbook $(ARGS) && \
	"$$bin/python" .ci/coverage_table.py $(COVERED)

check:
	@venv=$$(sh .ci/env test lint) && bin="$$venv/bin" && \
	"$$bin/ruff" format --check . && "$$bin/ruff" check . && "$$bin/mypy" && "$$bin/lint-imports"

format:
	@venv=$$(sh .ci/env test lint) && "$$venv/bin/ruff" check --fix-only -q . ; "$$venv/bin/ruff" format .

bench:
	@venv=$$(sh .ci/env test) && exec "$$venv/bin/python" -m tests.benchmarks $(ARGS)

test-deps:
	@sh .ci/test-deps

clean:
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis tests/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
