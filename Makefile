# Two commands: `make demo` (the main job on bundled data) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Small networks gain nothing from more threads, and Ray runs two trials side by side.
export OMP_NUM_THREADS ?= 1

# The paper's tables: one sweep or several, then the table. `make table-main` runs at a small scale; SCALE=full as in the paper,
# with DATA the data set's folder and ADDRESS a running Ray cluster. SET='key=value ...' overrides keys of the sweeps.
SCALE ?= small
DATA ?=
ADDRESS ?=
SET ?=
small-main := paper/main_digits
full-main := deit_small_imagenet deit_base_imagenet
small-swin := paper/swin_digits
full-swin := swin_tiny_imagenet swin_small_imagenet swin_base_imagenet
small-search-cost := paper/main_digits
full-search-cost := deit_small_imagenet
small-transfer := paper/transfer_cifar10
full-transfer := paper/transfer_deit_small
small-ablation-mask := paper/ablation_mask_digits
full-ablation-mask := paper/ablation_mask_imagenet
small-ablation-one-hot := paper/ablation_one_hot_digits
full-ablation-one-hot := paper/ablation_one_hot_imagenet
small-ablation-pmim := paper/ablation_pmim_digits
full-ablation-pmim := paper/ablation_pmim_imagenet
TABLES := main swin search-cost transfer ablation-mask ablation-one-hot ablation-pmim

.PHONY: demo test test-all lint types docs pictures bench clean $(TABLES:%=table-%)

demo: $(VENV)/.installed
	$(BIN)/ofb-ray preview sweeps/scenes.yaml
	$(BIN)/ofb-ray sweep sweeps/scenes.yaml
	$(BIN)/ofb-ray report results/scenes

# Processes that the tests run in; tests/conftest.py says which tests must not meet.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadgroup
test: $(VENV)/.installed-test
	$(PYTEST) -m "not slow"

test-all: test
	$(PYTEST) -m slow

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

# A broken link, an unknown page or a docstring that cannot be read is a failure. Nothing is loaded from a network.
docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server --directory build/site"

# The pictures of terminal, front and report in the docs, from a new run of the demo; needs tmux and Chromium.
pictures: $(VENV)/.installed-test
	$(BIN)/python -m docs.tools.pictures

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.supernet_step
	$(BIN)/python -m benchmarks.search_cost
	$(BIN)/python -m benchmarks.digits_front
	$(BIN)/python -m benchmarks.data_loading
	$(BIN)/python -m benchmarks.harness

# A sweep with failed trials (1) still has a table, bad input (2) has none.
$(TABLES:%=table-%): table-%: $(VENV)/.installed
	@$(foreach sweep,$(or $($(SCALE)-$*),$(error SCALE is small or full, not $(SCALE))),\
	{ $(BIN)/ofb-ray sweep sweeps/$(sweep).yaml $(ADDRESS:%=--address %) $(DATA:%=--set data.root=%) $(SET:%=--set %) \
	|| [ $$? -eq 1 ]; } &&) true
	@$(BIN)/ofb-ray tables $(foreach sweep,$($(SCALE)-$*),results/$(notdir $(sweep))) --table $*

# A finished installation is marked by a file, so that an interrupted one starts again.
$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "ofb_ray needs Python 3.10 or newer; name one: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e '.[test,docs]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) results build *.egg-info .mypy_cache .ruff_cache .pytest_cache
