# `make` lists the targets, each with the text after ##.

PYTHON ?= python3
BIN := .venv/bin
TOOLS := .venv-dev
TOOL := $(TOOLS)/bin
LOCK := ci/requirements-dev.txt
DOCS := .venv-docs
DOCS_LOCK := ci/requirements-docs.txt
FUZZ_SECONDS ?= 600
TESTS ?=
SHELL_SCRIPTS = .ci/run env_templates/lammps.slurm $$(find ci recipes driver_src -name '*.sh')
CXX_SOURCES = $$(find ci driver_src tests -name build -prune -o -name '*.[ch]pp' -print)

.PHONY: help lint format tools lock docs demo test test-all test-installer sanitize fuzz bench \
	release provision
.DEFAULT_GOAL := help

# The installer's tests wait for the programs that they start: two workers keep a core busy.
WORKERS = $(shell expr 2 '*' "$$(nproc)")

help:  ## list the targets
	@awk -F ':.*## ' \
		'/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

##@ In a minute, with pinned tools in .venv-dev and .venv-docs and nothing installed elsewhere

lint: tools  ## run CI's checks: ruff, mypy, clang-format, shellcheck
	$(TOOL)/ruff check
	$(TOOL)/ruff format --check
	$(TOOL)/mypy
	$(TOOL)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(TOOL)/shellcheck --external-sources $(SHELL_SCRIPTS)

format: tools  ## format Python and C++, and fix what ruff can
	$(TOOL)/ruff check --fix
	$(TOOL)/ruff format
	$(TOOL)/clang-format -i $(CXX_SOURCES)

test-installer: tools  ## run the installer's fast tests; TESTS="tests/installer/test_pack.py -x"
	$(TOOL)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not slow" \
		$(or $(TESTS),tests/installer)

tools: $(TOOLS)/ready  ## install only the tools

docs: $(DOCS)/ready  ## build the site in build/docs; a warning is an error
	$(DOCS)/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet \
		--jobs auto --doctree-dir build/doctrees docs build/docs
	@echo "Read it: build/docs/index.html"

# Recreated when the lock file changes, or when it was interrupted.
$(TOOLS)/ready: $(LOCK)
$(DOCS)/ready: $(DOCS_LOCK)
$(TOOLS)/ready $(DOCS)/ready:
	@echo "Installing the tools of $< into $(@D)"
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit( \
		"Python 3.10 or newer is needed: make PYTHON=/path/to/python3.12 ...")'
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

lock: tools  ## update the tools to the newest versions that pyproject.toml allows
	$(call compile,--extra lint --extra test-installer,$(LOCK))
	$(call compile,--extra docs,$(DOCS_LOCK))

compile = UV_CUSTOM_COMPILE_COMMAND="make lock" $(TOOL)/uv pip compile --quiet --upgrade \
	--universal --python-version 3.10 --no-python-downloads $(1) --output-file $(2) pyproject.toml

##@ With torch, KIM-API and LAMMPS: installs apt packages, and gigabytes into .venv

demo: provision  ## build the driver and run silicon in LAMMPS and in ASE
	$(BIN)/torchml-install quickstart

# The tests build the driver with warnings as errors.
test test-all bench sanitize: export TORCHML_WERROR = ON

test sanitize: PURPOSE = --for test
test-all: PURPOSE = --for test-all
fuzz: PURPOSE = --for fuzz

# The installer's tests mostly start programs, and run on all cores at once; tests that compute have the
# machine to themselves. Both groups run to the end, even if the first one fails.
ifeq ($(strip $(TESTS)),)
RUN_TESTS = failed=0; \
	$(BIN)/python -m pytest --numprocesses auto $(1) tests/installer || failed=1; \
	$(BIN)/python -m pytest --ignore tests/installer $(1) || failed=1; \
	$(2) \
	exit $$failed
else
RUN_TESTS = $(BIN)/python -m pytest $(1) $(TESTS)
endif

test: provision  ## run all tests except slow ones; TESTS="tests/kim -x" for some of them
	@$(call RUN_TESTS,-m "not slow")

# Repeats with sanitizers the tests that use memory in all ways: faults, broken models, each input.
test-all: provision  ## run slow tests, too, and some with sanitizers; also with TESTS=
	@$(call RUN_TESTS,,$(BIN)/python -m tests.sanitize -m sanitize || failed=1;)

sanitize: provision  ## run driver tests with address and undefined-behaviour sanitizers; TESTS=
	$(BIN)/python -m tests.sanitize $(TESTS)

fuzz: provision  ## run the fuzzers, ten minutes each; FUZZ_SECONDS=60
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# benchmarks/NAME.py writes benchmarks/NAME.md, with NAME in capitals.
measure = $(BIN)/python benchmarks/$(1).py $(2) --output benchmarks/$(shell echo $(1) | tr a-z A-Z).md
BENCH_FILES := build/bench

bench: provision  ## write the tables of benchmarks/, on a quiet machine; also OTHER=FOLDER
	$(BIN)/torchml-install quickstart
	$(call measure,evaluation)
	$(call measure,graphs)
	$(call measure,edges)
	$(call measure,zoo)
	$(call measure,halo)
	$(call measure,compiled)
	$(call measure,threads)
	$(call measure,steadiness)
	$(call measure,installer)
	LIBDESCRIPTOR_ROOT="$$($(BIN)/torchml-install deps --with libdescriptor --json | \
		$(BIN)/python -c 'import json, sys; \
		print(json.load(sys.stdin)["environment"]["LIBDESCRIPTOR_ROOT"])')" \
		$(call measure,descriptors)
	$(BIN)/python examples/snap_silicon/convert.py --output $(BENCH_FILES)/TorchML_SNAP_Si
	$(BIN)/torchml-install model install $(BENCH_FILES)/TorchML_SNAP_Si --force
	$(BIN)/python -m pip install --quiet --prefix $(BENCH_FILES)/lammps lammps mpich
	$(call measure,bispectrum,--lammps $(BENCH_FILES)/lammps)
	$(if $(OTHER),$(call measure,against,$(OTHER)))
	$(BIN)/python benchmarks/plots.py

release: provision  ## make a release's files in dist/; RELEASE_OPTIONS=--draft to try it out
	$(BIN)/python -m ci.release $(RELEASE_OPTIONS)

provision:  ## install only what these need; PYTHON=python3.12, TORCHML_TORCH=torch==2.7.0
	@PYTHON=$(PYTHON) ci/setup.sh --no-driver $(PURPOSE)
