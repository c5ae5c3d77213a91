# Each target gets the machine ready first (ci/setup.sh; a moment if it is), then calls a tool.
#   make demo          from a bare machine to silicon in LAMMPS and in ASE
#   make test          all tests but the slow ones        make test-all   those too
#   make bench         measure, see benchmarks/           make lint       what CI checks
#   make sanitize      all of the driver's tests with AddressSanitizer and UndefinedBehaviorSanitizer
#   make release       what a release consists of, into dist/; RELEASE_OPTIONS=--draft for a try
#   make fuzz          see driver_src/fuzz/README.md; FUZZ_SECONDS=60 for less than ten minutes each
# PYTHON=python3.12 chooses the Python of .venv, TORCHML_TORCH="torch==2.7.0" its torch.

PYTHON ?= python3
BIN := .venv/bin
FUZZ_SECONDS ?= 600
SANITIZED = tests/kim/test_kim_faults.py tests/kim/test_kim_broken_models.py \
	tests/kim/test_kim_write_model.py tests/kim/test_kim_particle_virials.py \
	tests/driver/test_outputs.py tests/driver/test_graphs.py tests/driver/test_kept_inputs.py \
	tests/driver/test_descriptor_models.py
SHELL_SCRIPTS = .ci/run env_templates/lammps.slurm $$(find ci recipes -name '*.sh')
CXX_SOURCES = $$(find driver_src tests -name build -prune -o -name '*.[ch]pp' -print)

.PHONY: demo test test-all bench sanitize fuzz lint format release provision
.DEFAULT_GOAL := demo

provision:
	@PYTHON=$(PYTHON) ci/setup.sh --no-driver $(PURPOSE)

demo: provision
	$(BIN)/torchml-install quickstart

# The tests build the driver with warnings as errors.
test test-all bench sanitize: export TORCHML_WERROR = ON

test sanitize: PURPOSE = --for test
test-all: PURPOSE = --for test-all

# Those of the installer start program after program, and run on all cores at once; what computes
# has the machine for itself. Both run to the end whatever the first one says.
RUN_TESTS = failed=0; \
	$(BIN)/python -m pytest --numprocesses auto $(1) tests/installer || failed=1; \
	$(BIN)/python -m pytest --ignore tests/installer $(1) || failed=1; \
	$(2) \
	exit $$failed

test: provision
	@$(call RUN_TESTS,-m "not slow")

# With sanitizers those that touch memory in all ways: faults, broken models, each kind of input.
test-all: provision
	@$(call RUN_TESTS,,$(BIN)/python -m tests.sanitize $(SANITIZED) || failed=1;)

bench: provision
	$(BIN)/torchml-install quickstart
	$(BIN)/python benchmarks/evaluation.py --output benchmarks/RESULTS.md
	$(BIN)/python benchmarks/graphs.py --output benchmarks/GRAPHS.md
	$(BIN)/python benchmarks/steadiness.py --output benchmarks/STEADINESS.md
	$(BIN)/python benchmarks/compiled.py --output benchmarks/COMPILED.md
	$(BIN)/python benchmarks/installer.py --output benchmarks/INSTALLER.md

# TESTS="tests/kim -x": others than all of the driver's.
sanitize: provision
	$(BIN)/python -m tests.sanitize $(TESTS)

fuzz: provision
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

lint: provision
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict torchml_installer
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(BIN)/shellcheck --external-sources $(SHELL_SCRIPTS)

format: provision
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_SOURCES)

release: provision
	$(BIN)/python -m ci.release $(RELEASE_OPTIONS)
