# The project's commands. `make demo` and `make test` work on a fresh clone with
# Python >= 3.11, a C compiler and make; they make their own .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two jobs: the machines this is tested on have two cores.
JOBS ?= 2
FUZZ_SECONDS ?= 60

SOURCES := $(shell find core src packaging -name '*.[ch]' -o -name '*.py' -o -name '*.pyx' -o -name '*.p*[di]' \
	-o -name '*.html' -o -name '*.js' -o -name '*.css' -o -name '*.json' -o -name '*.parquet' -o -name 'meson.build') meson.build meson.options pyproject.toml README.md

.PHONY: help build demo test lint test-c test-python check check-sanitizers check-python-sanitized \
	check-without-rseq check-explorer check-stress check-fuzz check-importers check-browser check-wheel check-notebook \
	check-docs stress bench gate calibrate findings docs man e2e lock clean

help:
	@echo 'make demo    compare depot designs on a bundled trace; writes report.html'
	@echo 'make test    all tests (10 minutes at most on 2 cores)'
	@echo 'make check   sanitizers, fuzzers, wheel test (25 minutes at most)'
	@echo 'make e2e     Debian kernels in an emulator (root; 30 minutes at most)'
	@echo 'make docs    build the documentation: build/docs/html/index.html'
	@echo 'make bench   measure; benchmarks/README.md says what'
	@echo 'make calibrate  measure the prices of the simulated machine on this host: build/prices.toml'
	@echo 'make findings   regenerate the evidence in docs/findings/'

# ------------------------------------------------------------------------------- building

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements/dev.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

build/.built: $(VENV)/.installed $(SOURCES)
	mkdir -p build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		--force-reinstall --config-settings=build-dir=build/wheel .
	touch $@

build: build/.built

# ---------------------------------------------------------------------------- demo, tests

demo: build
	$(BIN)/iova compare burst8-6.12 --html report.html

test: build lint test-c test-python

lint: build
	ruff check .
	ruff format --check .
	mypy
	$(BIN)/python -m mypy.stubtest --concise --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist \
		iova._core iova.sources._scan

build/c/build.ninja: $(VENV)/.installed
	meson setup build/c -Dwerror_core=true -Dbuildtype=debugoptimized

test-c: build/c/build.ninja
	meson test -C build/c --print-errorlogs

# Whole files go to a process each: what a file builds once is built once.
test-python: build
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

# --------------------------------------------------------------------------------- checks

check: check-sanitizers check-python-sanitized check-without-rseq check-explorer check-stress check-fuzz \
	check-importers check-browser check-wheel check-notebook check-docs gate

check-sanitizers: $(VENV)/.installed
	tests/check/sanitizers

check-python-sanitized: $(VENV)/.installed
	tests/check/python_sanitized

# Live domains as they are where the C library registers no restartable sequences.
check-without-rseq: build
	GLIBC_TUNABLES=glibc.pthread.rseq=0 $(BIN)/python -m pytest -q \
		tests/conformance/test_live_conformance.py tests/test_domain*.py

check-explorer:
	tests/check/explorer

check-stress: $(VENV)/.installed
	tests/check/stress

# The HTML report in Chromium; screenshots in build/screenshots.
check-browser: build
	tests/check/browser

check-fuzz: $(VENV)/.installed
	FUZZ_SECONDS=$(FUZZ_SECONDS) tests/check/fuzz

check-importers: build
	tests/check/importers

check-wheel: $(VENV)/.installed
	tests/check/wheel

check-notebook: build
	tests/check/notebook

check-docs: build $(VENV)/.docs-installed
	tests/check/docs

# Kernels, the emulator and fio come from Debian: root installs what is missing.
e2e: build
	tests/check/e2e

stress: $(VENV)/.installed
	STRESS_SECONDS=240 tests/check/stress

bench: build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bench.txt \
		|| echo 'a peer can not be installed here: its rows will be missing'
	$(BIN)/python -m benchmarks

gate: build
	$(BIN)/python benchmarks/gate.py

# For `iova compare PRESET --prices build/prices.toml`.
calibrate: build
	$(BIN)/python -m benchmarks calibrate --write build/prices.toml

findings: build
	$(BIN)/python -m benchmarks findings --write

# ------------------------------------------------------------------------- documentation

SPHINX := $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky

$(VENV)/.docs-installed: requirements/docs.lock requirements/dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.lock -c requirements/dev.lock
	touch $@

# All anew: pages are made from the package, which Sphinx does not look at.
docs: build $(VENV)/.docs-installed
	$(BIN)/python docs/_generate/drawings.py
	$(SPHINX) --fresh-env -b html -d build/docs/trees docs build/docs/html
	@echo 'build/docs/html/index.html'

.PHONY: build/docs/man/iova.1
build/docs/man/iova.1: build $(VENV)/.docs-installed
	$(SPHINX) --fresh-env -b man -d build/docs/trees-man docs build/docs/man

# The manual page comes with the package, so that installing it needs no Sphinx.
man: build/docs/man/iova.1
	cp build/docs/man/iova.1 packaging/iova.1

# ----------------------------------------------------------------------------- housekeeping

lock: requirements/dev.in
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	(echo '# Made by `make lock` from dev.in.'; build/lock/bin/python -m pip freeze --exclude-editable) > requirements/dev.lock

clean:
	rm -rf build build-* dist $(VENV) report.html
