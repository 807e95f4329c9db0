# `make` lists what can be made. PYTHON=python3.12 chooses the interpreter of .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Settings of `make run`; an empty one is left to the configuration.
RUN    ?= runs/default
GAN    ?=
N      ?=
ATTR   ?= smile
ALPHA  ?=
EACH   ?=
INDEX  ?=
CONFIG ?=
FLAGS  ?=
NPROC  ?=

# Settings of `make kill`.
KILLS  ?= 200
SEED   ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test kill lint bench docs run report compare fuzz memory lock audit clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: ## the five stages on the embedded model, small, into runs/demo
	@$(MAKE) --no-print-directory run RUN=runs/demo CONFIG=configs/demo.yaml EACH=yes \
		ATTR='smile smile=no age glasses glasses=no hair_color=blond hair_color=black'
	@echo "contact sheet: runs/demo/edits/sheet.png"

test: $(VENV)/.stamp ## the tests
	$(BIN)/pytest -q

kill: $(VENV)/.stamp ## nightly: KILLS=200 kills over all commands, same results (docs/reliability.md); SEED=7 repeats one
	OMP_NUM_THREADS=1 $(BIN)/python tests/kill_harness.py --kills $(KILLS) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.stamp ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gmmedit

bench: $(VENV)/.stamp ## speed and memory of loading, painting, the fits and the commands into bench/, half an hour (docs/speed.md)
	mkdir -p bench
	$(BIN)/python benchmarks/loading.py --json bench/loading.json
	$(BIN)/python benchmarks/synthesis.py --json bench/synthesis.json
	$(BIN)/python benchmarks/commands.py --json bench/commands.json
	$(BIN)/python benchmarks/fits.py --rounds 1 --json bench/fits.json
	$(BIN)/python benchmarks/plot.py bench

memory: $(VENV)/.stamp ## that what the stages need does not grow with the number of samples
	$(BIN)/python benchmarks/memory.py

fuzz: $(VENV)/.stamp ## nightly: every reader under random and coverage-guided changes, half an hour
	$(BIN)/pip install -q -c constraints.txt -e '.[nightly]'
	$(BIN)/python tests/fuzz.py

audit: $(VENV)/.stamp ## known vulnerabilities of the packages in constraints.txt (asks the network)
	$(BIN)/pip install -q pip-audit
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

lock: $(VENV)/.stamp ## requirements-ci.txt, from pyproject.toml and constraints.txt
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --extra dev -c constraints.txt --generate-hashes --no-annotate \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --index-strategy unsafe-best-match \
		--torch-backend cpu -o requirements-ci.txt

docs: $(VENV)/.stamp ## docs/artifacts.md, from the schema tables
	$(BIN)/python -c "from gmmedit.artifacts.documenting import markdown; print(markdown(), end='')" > docs/artifacts.md

run: $(RUN)/edits.h5 ## the five stages: RUN=runs/x GAN=avatars N=20000 ATTR=smile ALPHA=0.6 CONFIG=my.yaml NPROC=8

report: $(RUN)/report.html ## judge the edits of a run, and a page about it: RUN=runs/x

compare: $(RUN)/comparison.h5 ## judge the rivals too, then the page
	$(page)

clean: ## remove .venv and caches, keep the runs
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find gmmedit tests -name __pycache__ -prune -exec rm -rf {} +

# LOCK=requirements-ci.txt installs the wheels of that file, each checked against its SHA-256, and nothing else.
LOCK ?=

$(VENV)/.stamp: pyproject.toml constraints.txt $(LOCK)
	$(PYTHON) -m venv $(VENV)
ifdef LOCK
	$(BIN)/pip install -q --require-hashes --only-binary :all: -r $(LOCK)
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
else
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
endif
	touch $@

# A file per setting that changes only when its value does: Make then redoes what depends on it.
SETTINGS := GAN N ATTR ALPHA EACH INDEX CONFIG
stale = $(filter-out =$(shell cat $(RUN)/.make/$1 2>/dev/null)=,=$($1)=)
$(foreach name,$(SETTINGS),$(eval $(RUN)/.make/$(name): $(if $(call stale,$(name)),FORCE)))

$(SETTINGS:%=$(RUN)/.make/%):
	@mkdir -p $(@D)
	@echo '$($(@F))' > $@

# A stage writes NAME.h5.partial itself and continues it when run again. --force replaces what was made for
# other settings; a file that is up to date stays as it is, so `touch` tells Make that it has been checked.
# NPROC=8 lets as many processes share each step that several can do (docs/scale.md).
wide  := $(if $(NPROC),$(BIN)/torchrun --standalone --nproc-per-node $(NPROC) -m gmmedit --,$(BIN)/gmmedit)
stage = $(if $(filter edit,$1),$(BIN)/gmmedit,$(wide)) $1 --run $(RUN) $(if $(CONFIG),--config $(CONFIG)) $2 --force $(FLAGS) && touch $@
common := $(CONFIG) $(RUN)/.make/CONFIG | $(VENV)/.stamp

$(RUN)/samples.h5: $(RUN)/.make/GAN $(RUN)/.make/N $(common)
	$(call stage,sample,$(if $(GAN),--gan $(GAN)) $(if $(N),-n $(N)))

$(RUN)/labels.h5: $(RUN)/samples.h5 $(common)
	$(call stage,label)

$(RUN)/single.h5: $(RUN)/samples.h5 $(RUN)/labels.h5 $(common)
	$(call stage,fit-single)

$(RUN)/mixture.h5: $(RUN)/samples.h5 $(RUN)/labels.h5 $(RUN)/single.h5 $(common)
	$(call stage,fit-mixture)

$(RUN)/edits.h5: $(RUN)/samples.h5 $(RUN)/labels.h5 $(RUN)/mixture.h5 $(RUN)/.make/ATTR $(RUN)/.make/ALPHA $(RUN)/.make/EACH $(RUN)/.make/INDEX $(common)
	$(call stage,edit,$(ATTR:%=--attr %) $(if $(EACH),--each) $(if $(INDEX),--index $(INDEX)) $(if $(ALPHA),--alpha $(ALPHA)))

page = $(BIN)/gmmedit report --run $(RUN) $(FLAGS)
judged := $(RUN)/samples.h5 $(RUN)/labels.h5 $(RUN)/mixture.h5

$(RUN)/evaluation.h5: $(judged) $(common)
	$(call stage,evaluate)

$(RUN)/comparison.h5: $(judged) $(RUN)/evaluation.h5 $(common)
	$(call stage,compare)

$(RUN)/report.html: $(judged) $(RUN)/single.h5 $(RUN)/evaluation.h5 | $(VENV)/.stamp
	$(page)
