# Everything runs in .venv, made from the locked dependencies with hashes.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --no-deps --only-binary :all: --require-hashes

.PHONY: demo test faults kill-test soak overload bench lock generate clean

demo: .venv/.runtime
	$(BIN)/batch-uploader demo

test: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
# Real processes on a busy machine: what fails is tried once more, alone, and has to pass then.
	$(BIN)/pytest --numprocesses auto --cov || $(BIN)/pytest --last-failed --last-failed-no-failures none

# Runs the tests of docs/faults.md and prints its table; fails where one fails or is missing.
faults: .venv/.dev
	$(BIN)/pytest --numprocesses auto --faults

# The long form of the kill tests, a quarter of an hour; KILL_SEED=N draws other moments.
kill-test: .venv/.dev
	KILLS=500 RECORDINGS=1000 MOMENTS=0 CUTS=0 $(BIN)/pytest tests/kill -v -s

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
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
lock: .venv/.dev
	$(UV_COMPILE) --upgrade --group dev -o requirements/dev.txt
	$(UV_COMPILE) --group build --constraints requirements/dev.txt -o requirements/runtime.txt

# Writes the wire messages and their types anew from protos/.
generate: .venv/.dev
	$(BIN)/python protos/generate.py

clean:
	rm -rf .venv .bench

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

# What builds the package is in the lock too, so nothing unhashed is fetched.
.venv/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	$(INSTALL) -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	$(INSTALL) -r requirements/dev.txt
	$(BIN)/python -m pip check
	touch $@
