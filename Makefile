# Each target does its own set-up in .venv, with the versions in requirements/.

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
# uv trusts the certificates of the system, as pip does.
export UV_SYSTEM_CERTS ?= true

# $(call environment,<folder>,<packages>) makes an environment for one purpose.
environment = $(UV) venv --quiet --clear --python $(BIN)/python $(1) && \
	$(UV) pip install --quiet --python $(1) $(2)

TRIALS ?= 200
SEED ?= $(shell date +%s)
EXAMPLES ?= 1000
ZIZMOR = $(BIN)/zizmor --persona=auditor .github examples/github-actions/*.yml

.PHONY: test quick fast environments test-oldest test-airflow lint types audit chaos fault-search fuzz \
	demo psql load setup bench dist lock plugin dbt-models clean

# The tests mostly wait, so there are more processes than cores.
test: .venv/ready
	@$(MAKE) --jobs 3 lint types environments
	$(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

# What `make test` needs beside .venv.
environments: setup .meltano/loaders/ready .venv/snowflake/ready .venv/stores/ready \
	.venv/dbt/ready .venv/dbt-snowflake/ready

# Lint, types, and the tests that need no server and no other program, but for slow ones.
quick: .venv/ready
	@$(MAKE) --jobs 3 lint types fast

fast: .venv/ready
	$(BIN)/pytest -q $(WITHOUT_PROGRAMS) -m 'not e2e and not slow'

# The DAG in examples/airflow, run by a real Airflow; takes some minutes.
test-airflow: .venv/airflow/ready
	$(BIN)/pytest -m airflow tests/test_airflow.py

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/deptry --no-ansi .
	$(BIN)/typos
	$(BIN)/check-jsonschema --builtin-schema=vendor.meltano meltano.yml
	$(BIN)/check-jsonschema --builtin-schema=vendor.github-workflows .github/workflows/*.yml examples/github-actions/*.yml
	$(BIN)/check-jsonschema --builtin-schema=vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml
	$(ZIZMOR) --offline --no-progress

types: .venv/ready
	$(BIN)/mypy

# Looks for known vulnerabilities in the pinned packages and in the actions of the
# workflows. This asks PyPI and, with GH_TOKEN, GitHub.
audit: .venv/ready
	$(UV) tool run pip-audit --strict --disable-pip --require-hashes --requirement requirements/dev.txt
	$(ZIZMOR)

# The tests with the oldest versions that pyproject.toml allows, without those that run
# other programs, whose modules may need packages of their own.
WITHOUT_PROGRAMS = --numprocesses 3 --dist loadscope -m 'not e2e and not airflow' \
	$$(grep -l '^from tests.postgres_server' tests/test_*.py | sed 's/^/--ignore=/')

test-oldest: .venv/ready
	$(UV) pip compile --quiet --python $(BIN)/python --resolution lowest-direct --output-file .venv/oldest.txt pyproject.toml
	$(call environment,.oldest,--constraint .venv/oldest.txt --group test --editable .)
	.oldest/bin/python -m pytest $(WITHOUT_PROGRAMS)

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

# Measures the tap beside its peers and writes docs/speed.md.
# BENCH='tap --checkout PATH' measures the tap alone, beside another checkout.
PEERS := loops template dlt airbyte pyairbyte
bench: setup $(PEERS:%=.venv/bench/%/ready)
	$(BIN)/python -m benchmarks --write $(BENCH)

# Ends the tap by signals at random moments; 200 trials take ten minutes.
chaos: .venv/ready
	CHAOS_TRIALS=$(TRIALS) CHAOS_SEED=$(SEED) $(BIN)/pytest -p no:logging tests/test_chaos.py

# Looks for faults of the API that lose a row; 1,000 examples take ten minutes.
fault-search: .venv/ready
	FAULT_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -p no:logging tests/test_fault_search.py

# Writes the tap's definition in plugins/, and the settings in the README.
plugin: .venv/ready
	$(BIN)/python -m scripts.plugin

# Builds the source distribution, and from it the wheel.
dist: .venv/pinned
	rm -rf dist
	$(UV) build --quiet --python $(BIN)/python --no-build-isolation

# Pins the newest versions that pyproject.toml allows, and what the versions of the
# targets and of dbt in plugins/ require.
EXPORT := $(UV) export --quiet --frozen --no-emit-project --no-annotate --no-header
COMPILE := $(UV) pip compile --quiet --upgrade --universal --no-annotate --no-header --no-emit-index-url --python-version 3.11
lock: .venv/ready
	$(UV) lock --quiet --upgrade
	$(EXPORT) --output-file requirements/dev.txt
	$(EXPORT) --no-hashes --only-group ci --output-file requirements/ci.txt
	$(EXPORT) --no-hashes --no-dev --group build --output-file requirements/tap.txt
	@rm uv.lock
	for name in target-postgres target-snowflake dbt-postgres dbt-snowflake; do \
		grep -ohE '[a-z-]+==[0-9.]+' plugins/*/$$name--*.lock | \
			$(COMPILE) --output-file requirements/$$name.txt - || exit; \
	done

# Writes the sources and staging models of the dbt package from the tap's schemas.
dbt-models: .venv/ready
	$(BIN)/python -m scripts.dbt_models

# What a pipeline has loaded, and its state, stay: output/ and .meltano/meltano.db.
clean:
	rm -rf .venv .oldest .meltano/ready .meltano/extractors .meltano/loaders .meltano/utilities .meltano/run
	rm -rf output/demo transform/dbt_packages transform/logs transform/target dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

# pip installs uv alone, and uv all other packages, each with its hash.
.venv/pinned: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x")'
	@echo 'Setting up .venv: half a minute, once.'
	@$(PYTHON) -m venv --clear --without-pip .venv
	@sed -n '/^uv==/,/[^\]$$/p' requirements/dev.txt | \
		$(PYTHON) -m pip --python .venv -qq install --no-deps --require-hashes --requirement /dev/stdin
	@$(UV) pip sync --quiet --python .venv --require-hashes requirements/dev.txt
	@touch $@

.venv/ready: .venv/pinned pyproject.toml
	@$(UV) pip install --quiet --python .venv --no-build-isolation --no-deps --editable .
	@touch $@

.meltano/ready: .venv/ready meltano.yml $(wildcard plugins/*/*.lock) requirements/tap.txt requirements/target-postgres.txt
	@echo 'Installing the tap and the target for the pipeline.'
	@$(BIN)/meltano --log-level=warning install tap-fullstory-imports target-postgres
	@touch $@

# The other targets, which Meltano installs for users when they first run them.
.meltano/loaders/ready: .meltano/ready $(wildcard requirements/target-*.txt)
	@echo 'Installing the other targets.'
	@$(BIN)/meltano --log-level=warning install --plugin-type=loaders
	@touch $@

# The tap with its extras for object stores, and a server that stands in for S3.
.venv/stores/ready: .venv/ready requirements/pyproject.toml
	@echo 'Setting up the object stores.'
	@$(call environment,.venv/stores,--requirement pyproject.toml --all-extras --editable . --group requirements/pyproject.toml:stores)
	@touch $@

# The real target-snowflake with an emulator of Snowflake.
.venv/snowflake/ready: .venv/pinned requirements/target-snowflake.txt requirements/pyproject.toml
	@echo 'Setting up target-snowflake with an emulator of Snowflake.'
	@$(call environment,.venv/snowflake,--requirement requirements/target-snowflake.txt --group requirements/pyproject.toml:snowflake)
	@touch $@

.venv/dbt/ready: .venv/pinned requirements/dbt-postgres.txt
	@echo 'Setting up dbt.'
	@$(call environment,.venv/dbt,--no-deps --requirement requirements/dbt-postgres.txt)
	@touch $@

# dbt with an emulator of Snowflake.
.venv/dbt-snowflake/ready: .venv/pinned requirements/pyproject.toml
	@echo 'Setting up dbt with an emulator of Snowflake.'
	@$(call environment,.venv/dbt-snowflake,--group requirements/pyproject.toml:dbt-snowflake)
	@touch $@

# A program that the benchmarks compare with the tap, compiled as pip would.
.venv/bench/%/ready: export UV_COMPILE_BYTECODE = 1
.venv/bench/%/ready: .venv/pinned requirements/pyproject.toml
	@$(call environment,.venv/bench/$*,--group requirements/pyproject.toml:bench-$*)
	@touch $@

.venv/airflow/ready: .venv/pinned requirements/pyproject.toml
	@echo 'Setting up Airflow.'
	@$(call environment,.venv/airflow,--group requirements/pyproject.toml:airflow)
	@touch $@
