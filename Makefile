# Each target does its own set-up in .venv, with the versions in requirements/.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# How to install a file of pins. The file holds the whole resolution, so pip must not
# resolve anything: pip before 23.3 takes the newest `coverage` for `coverage[toml]`, even
# if the file pins another version.
PINNED := --no-deps --require-hashes --requirement
# The same for a file without hashes.
VERSIONS := --no-deps --requirement
# $(call install,<pins>,<environment>) also checks that no package is missing.
install = $(PIP) $(2) -qq install $(1) && \
	{ found="$$($(PIP) $(2) check)" || { echo "$$found"; false; }; }

TRIALS ?= 200
SEED ?= $(shell date +%s)
EXAMPLES ?= 1000
PYTHONS ?= 3.10 3.11 3.12 3.13

.PHONY: test environments test-pythons test-oldest test-newest test-airflow lint types check-deps chaos fault-search \
	fuzz demo psql load setup bench bench-targets dist lock plugin dbt-models clean

# The tests mostly wait, so there are more processes than cores.
test: .venv/ready
	@$(MAKE) --jobs 3 lint types environments
	$(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

# What `make test` needs beside .venv.
environments: setup .meltano/loaders/ready .venv/snowflake/ready .venv/stores/ready \
	.venv/dbt/ready .venv/dbt-snowflake/ready

# The tests with each of these versions of Python that this machine has, in copies of the
# project. PYTHONS can name versions and paths.
test-pythons:
	@$(PYTHON) -m scripts.pythons $(PYTHONS)

# The DAG in examples/airflow, run by a real Airflow; takes some minutes.
test-airflow: setup .meltano/loaders/ready .venv/airflow/ready
	$(BIN)/pytest -m airflow tests/test_airflow.py

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/deptry --no-ansi .
	$(BIN)/typos

types: .venv/ready
	$(BIN)/mypy

# Asks which pinned packages have known faults; needs PyPI itself, a mirror can't say.
check-deps: .venv/ready
	$(BIN)/deptry --no-ansi .
	$(BIN)/python -m scripts.audit requirements/ci.txt requirements/dev.txt

# The tests with the oldest versions that pyproject.toml allows, and with the newest;
# without those that run other programs, whose modules may need packages of their own.
WITHOUT_PROGRAMS = --numprocesses 3 --dist loadscope -m 'not e2e' \
	$$(grep -l '^from tests.postgres_server' tests/test_*.py | sed 's/^/--ignore=/')

test-oldest: .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .oldest
	@$(call install,$(VERSIONS) requirements/oldest.txt,--python .oldest)
	$(PIP) --python .oldest -qq install --no-deps --editable .
	.oldest/bin/python -m pytest $(WITHOUT_PROGRAMS)

test-newest: .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .newest
	$(PIP) --python .newest -qq install --upgrade --requirement requirements/test.in --editable .
	.newest/bin/python -m pytest $(WITHOUT_PROGRAMS)

# 44,000 inputs in two and a half minutes, where `make test` tries 2,200.
fuzz: .venv/ready
	$(BIN)/pytest --numprocesses 2 --hypothesis-profile=long tests/test_fuzz.py

demo: setup .venv/dbt/ready
	@$(BIN)/python -m scripts.demo

# Opens the database that the demo has loaded into.
psql: .venv/ready
	@$(BIN)/python -m scripts.postgres psql

# Loads the jobs that the environment or .env names into the same database.
load: setup
	@$(BIN)/python -m scripts.postgres meltano run tap-fullstory-imports target-postgres

# Installs all that development and the pipeline into PostgreSQL need.
setup: .meltano/ready

# Measures the tap beside its peers; takes three quarters of an hour.
bench: .venv/ready
	$(BIN)/python -m benchmarks

# Ends the tap by signals at random moments; 200 trials take ten minutes.
chaos: .venv/ready
	CHAOS_TRIALS=$(TRIALS) CHAOS_SEED=$(SEED) $(BIN)/pytest -p no:logging tests/test_chaos.py

# Looks for faults of the API that lose a row; 1,000 examples take ten minutes.
fault-search: .venv/ready
	FAULT_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -p no:logging tests/test_fault_search.py

# Measures how fast events get into a database, beside dlt and PyAirbyte; takes half an hour.
bench-targets: setup .meltano/loaders/ready
	$(BIN)/python -m benchmarks.targets

# Writes plugin.yaml, .env.example, and the settings in meltano.yml and in the README.
plugin: .venv/ready
	$(BIN)/python -m scripts.plugin

# Builds the source distribution and the wheel.
dist: .venv/pinned
	rm -rf dist
	$(BIN)/python -m hatchling build

# Pins the newest versions that requirements/*.in, pyproject.toml and meltano.yml allow.
lock: .venv/ready
	$(BIN)/python -m scripts.lock --upgrade

# Writes the sources and staging models of the dbt package from the tap's schemas.
dbt-models: .venv/ready
	$(BIN)/python -m scripts.dbt_models

# What a pipeline has loaded, and its state, stay: output/ and .meltano/meltano.db.
clean:
	rm -rf .venv .oldest .newest .pythons .meltano/ready .meltano/extractors .meltano/loaders .meltano/utilities .meltano/run
	rm -rf output/demo transform/dbt_packages transform/logs transform/target dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/pinned: requirements/ci.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.x")'
	@echo 'Setting up .venv: half a minute, once.'
	@# Some distributions keep ensurepip back: there, pip itself puts pip into .venv.
	@if $(PYTHON) -c 'import ensurepip' 2> /dev/null; then \
		$(PYTHON) -m venv --clear .venv; \
	else \
		$(PYTHON) -m venv --clear --without-pip .venv && \
		$(PYTHON) -m pip -qq install pip --target \
			"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"; \
	fi
	@$(call install,$(PINNED) requirements/ci.txt --requirement requirements/dev.txt)
	@touch $@

.venv/ready: .venv/pinned pyproject.toml
	@$(PIP) -qq install --no-build-isolation --no-deps --editable .
	@touch $@

.meltano/ready: .venv/ready meltano.yml requirements/tap.txt requirements/target-postgres.txt
	@echo 'Installing the tap and the target for the pipeline.'
	@$(BIN)/meltano --log-level=warning install tap-fullstory-imports target-postgres
	@touch $@

# The other targets, which Meltano installs for users when they first run them.
.meltano/loaders/ready: .meltano/ready $(wildcard requirements/target-*.txt)
	@echo 'Installing the other targets.'
	@$(BIN)/meltano --log-level=warning install --plugin-type=loaders
	@touch $@

# The tap with its extras for object stores, and a server that stands in for S3.
.venv/stores/ready: .venv/ready requirements/stores.txt
	@echo 'Setting up the object stores.'
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/stores
	@$(PIP) --python .venv/stores -qq install --no-deps --editable .
	@$(call install,$(VERSIONS) requirements/stores.txt,--python .venv/stores)
	@touch $@

# The real target-snowflake with an emulator of Snowflake, which needs Python 3.11: with
# an older one its tests are left out.
.venv/snowflake/ready: .venv/pinned requirements/snowflake.txt
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo 'Setting up target-snowflake with an emulator of Snowflake.'; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/snowflake && \
		$(call install,$(VERSIONS) requirements/snowflake.txt,--python .venv/snowflake); \
	fi
	@mkdir -p $(@D)
	@touch $@

.venv/dbt/ready: .venv/pinned requirements/dbt.txt
	@echo 'Setting up dbt.'
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/dbt
	@$(call install,$(VERSIONS) requirements/dbt.txt,--python .venv/dbt)
	@touch $@

# dbt with an emulator of Snowflake, which needs Python 3.11, as above.
.venv/dbt-snowflake/ready: .venv/pinned requirements/dbt-snowflake.txt
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo 'Setting up dbt with an emulator of Snowflake.'; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/dbt-snowflake && \
		$(call install,$(VERSIONS) requirements/dbt-snowflake.txt,--python .venv/dbt-snowflake); \
	fi
	@mkdir -p $(@D)
	@touch $@

.venv/airflow/ready: .venv/pinned requirements/airflow.txt
	@echo 'Setting up Airflow: two minutes, once.'
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/airflow
	@$(call install,$(VERSIONS) requirements/airflow.txt,--python .venv/airflow)
	@touch $@
