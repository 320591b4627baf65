# Everything runs in .venv, made from the locked dependencies with hashes.
PYTHON ?= python3
BIN := .venv/bin
# A lock is whole, so nothing is to be resolved on the day of its installation, and nothing to be
# built: a build would fetch what no lock names.
PIP := bin/python -m pip install --quiet --no-deps --only-binary :all: --require-hashes

.PHONY: demo test test-all faults fuzz kill-test soak overload bench coverage floors locks lock generate clean

demo: .venv/.runtime
	$(BIN)/batch-uploader demo

# Real processes on a busy machine: what fails is tried once more, alone, and has to pass then. Its
# name is printed at the end, for it is to be mended.
# With 1 all has been run; any other end is one for good.
tests = $(1) --numprocesses auto $(2) || \
  { test $$? -eq 1 && $(1) --alone --last-failed --last-failed-no-failures none $(2); }

test: .venv/.dev
	rm -f .flakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(call tests,$(BIN)/pytest,-m "not slow")

# Thirty minutes in all.
test-all: test
	$(call tests,$(BIN)/pytest,-m slow)
	$(MAKE) floors locks
	@if [ -e .flakes ]; then echo "Failed among the others, passed alone:"; cat .flakes; fi

# The oldest versions that pyproject.toml allows. The vendor's SDK needs newer ones.
floors: .venv-floors/.ready
	$(call tests,.venv-floors/bin/pytest -o cache_dir=.venv-floors/cache,tests/integration --ignore tests/integration/test_sink_official.py)

# The oldest pip takes the locks, too.
locks:
	$(PYTHON) -m venv --clear .venv-oldest-pip
	.venv-oldest-pip/$(PIP) -r requirements/oldest-pip.txt
	for lock in runtime dev floors; do \
	  .venv-oldest-pip/$(PIP) --dry-run --ignore-installed -r requirements/$$lock.txt || exit 1; \
	done

coverage: .venv/.dev
	$(BIN)/pytest --numprocesses auto --cov

# Runs the tests of docs/faults.md and prints its table; fails where one fails or is missing.
faults: .venv/.dev
	$(BIN)/pytest --numprocesses auto --faults

# The long form of the kill tests, a quarter of an hour; KILL_SEED=N draws other moments.
kill-test: .venv/.dev
	KILLS=500 RECORDINGS=1000 MOMENTS=0 CUTS=0 $(BIN)/pytest tests/kill -v -s

# An hour of audio and sidecars as bad recorders make them; FUZZ_SEED=N draws others.
fuzz: .venv/.dev
	FUZZ=600 $(BIN)/pytest tests/fuzz -v

# 100,000 uploads of which 6 % are not answered, with three outages; ten minutes.
soak: .venv/.dev
	SOAK=100000 $(BIN)/pytest tests/soak/test_soak.py -v -s

# Ten minutes of refusals of all that comes over a rate; then that is lifted.
overload: .venv/.dev
	OVERLOAD=600 $(BIN)/pytest tests/soak/test_overload.py -v -s

# Minutes; needs a C compiler and OpenSSL's headers, and a machine with nothing else to do.
bench: .venv/.dev
	PYTHONPATH=tests $(BIN)/python -m bench $(WORK) $(if $(RUNS),--runs $(RUNS))

# Writes the lock files anew; they carry hashes and no index URLs.
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
# Not .venv/.dev: what the package is built with may be what is to be locked.
lock: | .venv/bin/python
	.venv/$(PIP) -r requirements/dev.txt
	$(COMPILE) pyproject.toml --upgrade --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --group build --constraints requirements/dev.txt -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --upgrade --resolution lowest-direct --all-extras --group build --group test -o requirements/floors.txt
	$(COMPILE) --group oldest-pip -o requirements/oldest-pip.txt

# Writes the wire messages and their types anew from protos/.
generate: .venv/.dev
	$(BIN)/python protos/generate.py

clean:
	rm -rf .venv .venv-floors .venv-oldest-pip .bench .flakes

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $*

# What builds the package is in the locks too, so nothing unhashed is fetched.
EDITABLE := bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .

.venv/.runtime: requirements/runtime.txt pyproject.toml | .venv/bin/python
	.venv/$(PIP) -r requirements/runtime.txt
	.venv/$(EDITABLE)
	touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	.venv/$(PIP) -r requirements/dev.txt
	$(BIN)/python -m pip check
	touch $@

.venv-floors/.ready: requirements/floors.txt pyproject.toml | .venv-floors/bin/python
	.venv-floors/$(PIP) -r requirements/floors.txt
	.venv-floors/$(EDITABLE)
	.venv-floors/bin/python -m pip check
	touch $@
