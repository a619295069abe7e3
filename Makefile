# Everything a person types here: run, test, check, fuzz, bench, soak. Each makes what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
PORT ?= 8080
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= $(shell date +%s)
SEEDS ?= 0-1999
SOAK_SECONDS ?= 1200
EXTRAS := s3 pkcs11 aws-kms hashicorp-transit custodians redis
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade

.PHONY: setup run test deep check fuzz simulate sbom audit bench soak lock clean
.DELETE_ON_ERROR:

setup: .venv/dev.stamp  ## the environment, with what tests need

run: .venv/run.stamp  ## Panless, a sandbox processor and the worker, on loopback
	@exec $(BIN)/panless dev --port $(PORT)

test: .venv/dev.stamp  ## everything, SQLite and PostgreSQL; what repeats things a tenth as often, with a SEED that changes
	$(BIN)/pytest $(PYTEST_ARGS)

deep: .venv/dev.stamp  ## everything, with all of its repetitions
	DEPTH=1 $(BIN)/pytest $(PYTEST_ARGS)

check: .venv/dev.stamp  ## style, types, and which way imports go
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports

fuzz: .venv/dev.stamp  ## the door under a fuzzer, ten minutes with a seed of its own; FUZZ_SECONDS, FUZZ_SEED
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/pytest -n 0 -s tests/security/test_fuzz.py

simulate: .venv/dev.stamp  ## the whole house by a virtual clock, with faults; SEEDS=0-99999 goes on where it stopped
	PYTHONPATH=tests:. PYTHONHASHSEED=0 $(BIN)/python tests/simulation/simulate.py $(SEEDS) $(SIMULATE_ARGS)

sbom: .venv/dev.stamp  ## what Panless is made of: build/panless.cdx.json (CycloneDX)
	@.ci/sbom build/panless.cdx.json

audit: .venv/dev.stamp  ## known weaknesses of the locked versions; fails where nobody can be asked
	@.ci/audit

bench: .venv/dev.stamp build/served/stamp  ## the figures that must hold
	$(BIN)/python -m bench $(BENCH_ARGS)

soak: .venv/dev.stamp  ## twenty minutes of calls, with receivers of events that fail and hang; SOAK_SECONDS
	$(BIN)/python -m bench.soak --seconds $(SOAK_SECONDS) $(SOAK_ARGS)

lock: .venv/dev.stamp  ## renews the pins and hashes
	$(COMPILE) requirements/run.in -o requirements/run.txt
	$(foreach extra,$(EXTRAS),$(COMPILE) -c requirements/run.txt requirements/$(extra).in -o requirements/$(extra).txt &&) true
	$(COMPILE) $(foreach part,run $(EXTRAS),-c requirements/$(part).txt) requirements/dev.in -o requirements/dev.txt

# What serves, without what only tests need: several libraries load others where they find them, 8 MiB a worker.
build/served/stamp: .venv/pyvenv.cfg requirements/run.txt
	$(BIN)/python -m venv --clear build/served
	build/served/bin/pip --quiet --disable-pip-version-check install --require-hashes -r requirements/run.txt
	@touch $@

clean:
	rm -rf .venv build *.egg-info

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Panless needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/run.stamp: .venv/pyvenv.cfg requirements/run.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --require-hashes -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
