# Needs Python 3.11 or newer, make and git; everything else comes from PyPI, into .venv here.
# uv is used when it is on the PATH; else a copy is installed in .venv-tools.
#
#   make test JOBS=4 ARGS="-k valkey"      make demo PYTHON=/usr/bin/python3.13

# The first Python that is new enough, by its real path: a shim's or a venv's looks like another
# Python to uv, which would make .venv anew.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import os, sys; sys.version_info < (3, 11) and sys.exit(1); \
	print(os.path.realpath(sys.executable))' 2>/dev/null && break; done)
# Processes that run the tests: two per processor and one more, because tests wait more than they
# compute.
JOBS ?= $(shell "$(PYTHON)" -c 'import os; print(2 * (os.cpu_count() or 1) + 1)' 2>/dev/null || echo 3)
# Extras that `make extras` tries.
EXTRAS ?= $(shell "$(PYTHON)" -c 'import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"])')
# More arguments for pytest or the demo.
ARGS ?=

UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .venv-tools/bin/uv)
BIN := .venv/bin
# The example of an executor from outside.
STREAQ := examples/paceline_streaq
LOCK := pyproject.toml uv.lock
# Trust whom the machine trusts, as pip does (a company's proxy has a certificate of its own);
# where it has no certificates at all, uv brings its own.
ifneq ($(wildcard /etc/ssl/certs/*.crt /etc/ssl/cert.pem /etc/pki/tls/certs/*.crt),)
export UV_SYSTEM_CERTS ?= 1
endif
# Tests and the demo start hundreds of Python processes. Each would compile every module again if
# bytecode was not kept.
export PYTHONDONTWRITEBYTECODE :=
# Works on the environments here, whichever is active, and downloads no Python.
RUN_UV = env -u VIRTUAL_ENV -u UV_PROJECT_ENVIRONMENT UV_PYTHON_DOWNLOADS=never "$(UV)"
SYNC = $(RUN_UV) sync --quiet --frozen --inexact --python "$(PYTHON)"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo bench bench-smoke test test-web pictures check lint types imports docs soak test-celery57 test-streaq test-deploy extras clean

help: ## List what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: .venv/.run ## Generate eight example roadmaps against a simulated LLM, with a page to watch
	$(BIN)/paceline demo $(ARGS)

test: .venv/.dev ## Run the tests, with the servers they need
	$(BIN)/pytest -n $(JOBS) -m "not soak and not page" $(ARGS)

check: lint types imports test ## Run all that must pass before a change goes in

lint: .venv/.dev ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m docs.tables --check
	$(BIN)/python -m docs.wording

types: .venv/.page ## Check types with mypy and pyright
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

imports: .venv/.dev ## Check the import rules
	$(BIN)/lint-imports

docs: .venv/.dev .venv/.docs ## Refresh the generated tables and build the documentation into site/
	$(BIN)/python -m docs.tables
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/.dev ## Measure every strategy, executor and store; ARGS=--quick for a first look
	$(BIN)/paceline bench $(addprefix --contestants ,$(wildcard benchmarks/contestants)) $(ARGS)

bench-smoke: .venv/.dev ## Check that the benchmarks run, on very little work
	$(BIN)/pytest benchmarks -p no:xdist -p no:randomly --benchmark-only --benchmark-min-rounds=3 \
		--benchmark-max-time=0.1 --bench "--roadmaps 2 --concepts 3 --speed 50 --rounds 1 \
		--warm-up 0 --strategy global --executor in-process --executor arq --store postgresql"

test-web: .venv/.page chromium ## Run the tests of the page in a real Chromium
	$(BIN)/pytest -n $(JOBS) -m "page and not soak" tests/page $(ARGS)

pictures: .venv/.page chromium fonts ## Retake the pictures of the page in docs/pictures
	$(BIN)/python -m docs.pictures $(ARGS)

soak: .venv/.dev ## Run the long suites: hundreds of kill -9, thousands of random schedules
	$(BIN)/pytest -n $(JOBS) -m "soak and not page" $(ARGS)

test-celery57: .venv-celery57/.ready ## Run Celery's tests with Celery 5.7 and redis-py 8
	.venv-celery57/bin/pytest -n $(JOBS) -m "not soak" tests/celery $(ARGS)

test-streaq: .venv-streaq/.ready ## Run the tests of the example executor, installed as a plugin
	cd $(STREAQ) && "$(CURDIR)/.venv-streaq/bin/pytest" -n $(JOBS) $(ARGS)
	.venv-streaq/bin/pytest -m "not soak" tests/combinations/test_nine.py -k streaq

test-deploy: .venv/.deploy promtool ## Check the files in deploy/ with the tools of their formats
	PROMTOOL=$(PROMTOOL) $(BIN)/pytest -n $(JOBS) deploy/tests $(ARGS)

extras: | python ## Check that each extra can be installed with the pip that Python brings
	rm -rf .venv-extras
	"$(PYTHON)" -m venv .venv-extras
	.venv-extras/bin/pip wheel --quiet --disable-pip-version-check --no-deps \
		--wheel-dir .venv-extras .
	@for extra in $(EXTRAS); do \
		.venv-extras/bin/pip install --quiet --disable-pip-version-check --dry-run \
			"paceline[$$extra] @ file://$$(echo "$(CURDIR)"/.venv-extras/*.whl)" || \
			{ echo "paceline[$$extra] cannot be installed" >&2; exit 1; }; \
		echo "paceline[$$extra] can be installed"; \
	done

clean: ## Remove what make made
	rm -rf .venv .venv-tools .promtool .venv-celery57 .venv-streaq .venv-extras site dist \
		.pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# -- environments: a stamp file says that one is as pyproject.toml and uv.lock want it --------

.venv/.run: $(LOCK) | python $(UV)
	$(SYNC) --no-dev --extra web
	@touch $@

.venv/.dev: $(LOCK) | python $(UV)
	$(SYNC)
	@touch $@ .venv/.run

.venv/.docs: $(LOCK) | python $(UV)
	$(SYNC) --no-dev --group docs
	@touch $@

.venv/.page: $(LOCK) | python $(UV)
	$(SYNC) --group page
	@touch $@ .venv/.run .venv/.dev

.venv/.deploy: $(LOCK) | python $(UV)
	$(SYNC) --group deploy
	@touch $@ .venv/.run .venv/.dev

# arq and Celery 5.7 want different versions of redis-py: what the lock cannot hold, without arq.
.venv-celery57/.ready: pyproject.toml | python $(UV)
	$(RUN_UV) venv --quiet --clear --python "$(PYTHON)" .venv-celery57
	$(RUN_UV) pip install --quiet --python .venv-celery57 \
		--editable '.[celery,postgres,testing]' 'celery>=5.7,<5.8' 'redis>=8,<9' \
		pytest-randomly pytest-timeout pytest-xdist
	@touch $@

# As a user installs a plugin: paceline and the plugin, without the lock, and without celery and arq.
.venv-streaq/.ready: pyproject.toml $(STREAQ)/pyproject.toml | python $(UV)
	$(RUN_UV) venv --quiet --clear --python "$(PYTHON)" .venv-streaq
	$(RUN_UV) pip install --quiet --python .venv-streaq \
		--editable '.[postgres,testing]' --editable '$(STREAQ)[test]' \
		pytest-randomly pytest-xdist
	@touch $@

# promtool is in Debian's package of Prometheus. The package is unpacked here, not installed: it would
# start a server.
PROMTOOL ?= $(shell command -v promtool || echo "$(CURDIR)/.promtool/usr/bin/promtool")
.PHONY: promtool
promtool:
	@test -x "$(PROMTOOL)" || { mkdir -p .promtool && cd .promtool && command -v apt-get >/dev/null && \
		{ apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
			2>/dev/null && dpkg -x prometheus_*.deb . && test -x usr/bin/promtool; } || { \
		echo "This needs promtool: apt-get install prometheus" \
			"(or name one: make $(MAKECMDGOALS) PROMTOOL=/path/to/promtool)" >&2; exit 1; }

# The browser is the machine's own: Playwright's would be a download beyond PyPI.
.PHONY: chromium
chromium:
	@command -v $${CHROMIUM:-chromium} >/dev/null || command -v chromium-browser >/dev/null || \
		command -v google-chrome >/dev/null || \
		{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
			apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } || { \
		echo "This needs Chromium: apt-get install chromium" \
			"(or name one: make $(MAKECMDGOALS) CHROMIUM=/path/to/chromium)" >&2; exit 1; }

# Two of the roadmaps are in Chinese. Without a font for it, the pictures leave them out.
.PHONY: fonts
fonts:
	@test -n "$$(fc-list :lang=zh)" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get install -qq -y fonts-wqy-microhei >/dev/null; } || \
		echo "Roadmaps in Chinese are left out: apt-get install fonts-wqy-microhei"

.venv-tools/bin/uv: | python
	"$(PYTHON)" -m venv --clear .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check uv

.PHONY: python
python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "paceline needs Python 3.11 or newer, but $(or $(PYTHON),python3) is" \
		"'$$("$(or $(PYTHON),python3)" -V 2>&1)': name another, make PYTHON=/path/to/python" >&2; \
		exit 1; }
