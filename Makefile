# Two commands do everything on a fresh machine:  make  (install, train a small GPT, sample from it)   and   make test
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: quick train menuconfig savedefconfig list-defconfigs test-matrix install test check wheel-check reliability test-browser health test-data bench clean
.PHONY: test-matrix-yaml test-matrix-dry-run continue estimate test-rerun summary update-graphs parallel parallel-4 parallel-8 parallel-16 sweep
MANY := ^CONFIG_(OPTIMIZER|PRUNING|MODEL)_MODE_MULTIPLE=y|^CONFIG_TEST_MATRIX_MODE=y
.DEFAULT_GOAL := $(if $(wildcard .config),$(if $(shell grep -E '$(MANY)' .config),test-matrix,train),quick)
MATRIX := $(BIN)/gptmill matrix

quick: .venv/installed  ## train configs/quick.py on the embedded corpus, then let it write
	@$(BIN)/gptmill train quick $(if $(EPOCHS),--epochs=$(EPOCHS))
	@echo
	@$(BIN)/gptmill sample --prompt "def" --max_new_tokens 120

train: .venv/installed  ## train what .config says; make EPOCHS=3 changes how long
	@$(BIN)/gptmill train .config $(if $(EPOCHS),--epochs=$(EPOCHS))

defconfig-%: .venv/installed  ## write .config from a named one: make defconfig-gpt2-shakespeare-simple
	@$(BIN)/python -m gptmill.cli.kconfig defconfig $*

menuconfig: .venv/installed  ## edit .config in Kconfig's menus
	@$(BIN)/python -m gptmill.cli.kconfig menuconfig

savedefconfig: .venv/installed  ## write defconfig: what .config has other than the defaults
	@$(BIN)/python -m gptmill.cli.kconfig savedefconfig

list-defconfigs: .venv/installed  ## the names that make defconfig-NAME knows
	@$(BIN)/python -m gptmill.cli.kconfig list

test-matrix: .venv/installed  ## train every combination that .config asks for; again: the rest of them
	@$(MATRIX) .config $(if $(EPOCHS),--override_epochs=$(EPOCHS))

test-matrix-yaml: .venv/installed  ## train every combination that test-matrix.yaml lists
	@$(MATRIX) --config_yaml=test-matrix.yaml $(if $(EPOCHS),--override_epochs=$(EPOCHS))

test-matrix-dry-run: .venv/installed  ## list those runs, with their time and cost
	@$(MATRIX) .config --dry_run $(if $(EPOCHS),--override_epochs=$(EPOCHS))

parallel: .venv/installed  ## test-matrix, several at a time: make parallel JOBS=2
	@$(MATRIX) .config $(if $(JOBS),--parallel=$(JOBS))

parallel-4 parallel-8 parallel-16: .venv/installed  ## test-matrix, so many at a time
	@$(MATRIX) .config --parallel=$(@:parallel-%=%)

continue: .venv/installed  ## go on with the newest results
	@$(MATRIX) --continue_dir=newest

estimate: .venv/installed  ## what the rest of the newest results would take
	@$(MATRIX) --continue_dir=newest --dry_run

test-rerun: .venv/installed  ## train anew what is in a results folder: make test-rerun TARGET=DIR OPTIMIZER=adamw
	@$(MATRIX) --rerun_dir="$(TARGET)" $(if $(OPTIMIZER),--filter_optimizer=$(OPTIMIZER))

summary update-graphs: .venv/installed  ## write and print the results again: make summary TEST_DIR=DIR
	@$(MATRIX) --summary=$(or $(TEST_DIR),newest)

sweep: .venv/installed  ## carry out a sweep file: make sweep RANGE_CONFIG=FILE.yaml
	@$(BIN)/gptmill sweep "$(RANGE_CONFIG)"

install: .venv/installed  ## everything a user needs, in .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gptmill needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	@echo "creating .venv"
	@$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing gptmill and its libraries into .venv (a minute or two)"
	@$(PIP) --editable '.[parquet,kconfig,report,sweep,study]'
	@touch $@

.venv/dev: .venv/installed
	@echo "installing the test tools into .venv"
	@$(PIP) --editable '.[dev]'
	@touch $@

test: .venv/dev  ## the suite, but for the documented commands, which make check runs; under 10 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 --ignore=tests/test_documented_commands.py

check: .venv/dev  ## formatting, lint, types, the import rule, and every command that other trainers' documents print
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py tests/test_documented_commands.py

wheel-check: .venv/dev  ## build the wheel; train and sample with it in an empty folder
	$(BIN)/python benchmarks/wheel_check.py

INPUTS := payloads data configs matrix secrets network
parts = $(if $(PART),$(if $2,$(BIN)/python -m benchmarks.$1 --jobs $(or $(JOBS),2) --part $2 $3),$(BIN)/python -m benchmarks.$1 --jobs $(or $(JOBS),2) $3)

reliability: .venv/dev  ## kills, full disks, power cuts, damaged files: make reliability PART="storm disk" SHARE=0.1 JOBS=2
	$(call parts,reliability,$(filter-out $(INPUTS),$(PART)),$(SHARE:%=--share %))
	$(call parts,reliability_inputs,$(filter $(INPUTS),$(PART)),$(SHARE:%=--scale %))

bench: .venv/dev  ## tokens/s and memory beside others in one run: make bench NANOGPT=checkout HF=venv/bin/python LITGPT=venv/bin/python
	$(BIN)/python -m benchmarks.speed $(if $(NANOGPT),--nanogpt "$(NANOGPT)") $(if $(HF),--hf "$(HF)") $(if $(LITGPT),--litgpt "$(LITGPT)")

test-browser: .venv/dev  ## reports in a headless Chromium; screenshots go to build/screenshots
	BROWSER_SHOTS=build/screenshots $(BIN)/python -m pytest tests/browser -rs

health: .venv/dev  ## 20,000 clean steps without an alarm, and what watching costs
	$(BIN)/python -m benchmarks.health

test-data: .venv/dev  ## WikiText-2 and tiny Shakespeare from files of yours: make test-data DATA=DIR
	$(BIN)/python -m benchmarks.real_data "$(DATA)"

clean:  ## remove what was installed and built, never a run or a dataset
	rm -rf .venv build dist *.egg-info
