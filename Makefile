# `make` lists the targets. PYTHON=python3.12 selects the interpreter of .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Settings of `make run`; an empty one is taken from the configuration.
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

# Folder of `make factor`.
FACTOR ?= runs/factor
factor  = --run $(FACTOR)/run --config configs/factor.yaml

# Settings of `make kill`.
KILLS  ?= 200
SEED   ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo photos test page kill lint bench docs run report compare fuzz memory lock audit clean style causes factor FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: ## run the five steps on the embedded model, with a small fit, into runs/demo
	@$(MAKE) --no-print-directory run RUN=runs/demo CONFIG=configs/demo.yaml EACH=yes \
		ATTR='smile smile=no age glasses glasses=no hair_color=blond hair_color=black'
	@echo "contact sheet: runs/demo/edits/sheet.png"

factor: $(VENV)/.stamp ## train a small IFcVAE-GAN of avatars, run the five steps on it, compare its editor, into runs/factor (docs/systems.md)
	$(BIN)/gmmedit train ifcvae-gan --data avatars-independent --attr smile,glasses --size 32 --images 32000 --out $(FACTOR)
	$(BIN)/gmmedit sample --gan $(FACTOR)/ifcvae-gan.safetensors $(factor)
	$(BIN)/gmmedit label --classifier $(FACTOR)/ifcvae-gan.safetensors $(factor)
	$(BIN)/gmmedit fit-single $(factor)
	$(BIN)/gmmedit fit-mixture $(factor)
	$(BIN)/gmmedit edit --each --attr smile --attr smile=no --attr glasses --attr glasses=no $(factor)
	$(BIN)/python benchmarks/factor_sheet.py $(FACTOR)/ifcvae-gan.safetensors --out $(FACTOR)/factor.png
	$(BIN)/gmmedit train classifier --data avatars-independent --attr smile --attr glasses --size 32 --images 32000 --evaluator --out $(FACTOR)
	$(BIN)/gmmedit compare --editors code,mixture,mean-difference,none --classifier $(FACTOR)/evaluator.safetensors $(factor)
	@echo "sheets: $(FACTOR)/factor.png, $(FACTOR)/run/edits/sheet.png"

photos: $(VENV)/.stamp ## invert and edit five renders and five real faces into runs/photos, half an hour (docs/photographs.md)
	$(BIN)/python benchmarks/photos.py --out runs/photos $(FLAGS)

style: $(VENV)/.stamp ## train SAAE on the system's typefaces, run the five steps on it, draw new styles, into runs/style
	$(BIN)/gmmedit train saae --data glyphs --images 76800 --out runs/style
	@$(MAKE) --no-print-directory run RUN=runs/style/run CONFIG=configs/style.yaml EACH=yes INDEX=0-11 \
		ATTR='style=1 style=2 style=3 style=4 style=5 style=6 style=7 style=8'
	$(BIN)/gmmedit generate --gan runs/style/saae.safetensors --prior runs/style/run/mixture.h5 -n 1000 --data-out runs/style/data
	@echo "held-out typefaces: runs/style/samples.png, edits: runs/style/run/edits/sheet.png, new styles: runs/style/data/sheet.png"

CAUSES := runs/causes
ACTS   := gender=male gender=female age=old beard
causes: ## graph of the embedded samples, do-edits beside isolated edits, into runs/causes (docs/causes.md)
	@$(MAKE) --no-print-directory run RUN=$(CAUSES) CONFIG=configs/demo.yaml ATTR=smile
	$(BIN)/gmmedit graph --run $(CAUSES) --force --tiers 'gender<age<smile,bangs,beard,glasses,hair_color'
	$(BIN)/gmmedit edit --run $(CAUSES) --out $(CAUSES)/isolated --index 0-5 --each $(ACTS:%=--attr %)
	$(BIN)/gmmedit edit --run $(CAUSES) --out $(CAUSES)/do --index 0-5 --each $(ACTS:%=--do %)
	$(BIN)/python benchmarks/causes.py sheet --isolated $(CAUSES)/isolated --do $(CAUSES)/do --out $(CAUSES)/sheet.png

test: $(VENV)/.stamp ## run the tests, a process per core
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --maxprocesses 8 --dist loadfile

page: $(VENV)/.stamp ## test the page of gmmedit serve in a browser, three minutes (apt-get install chromium first)
	$(BIN)/pip install -q -c constraints.txt -e '.[web]' playwright
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -rs tests/test_page.py

kill: $(VENV)/.stamp ## kill commands at random instants, KILLS=200 times, and compare results (docs/reliability.md); SEED=7 repeats a run
	OMP_NUM_THREADS=1 $(BIN)/python tests/kill_harness.py --kills $(KILLS) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.stamp ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gmmedit

bench: $(VENV)/.stamp ## measure speed and memory into bench/, half an hour (docs/speed.md)
	mkdir -p bench
	$(BIN)/python benchmarks/loading.py --json bench/loading.json
	$(BIN)/python benchmarks/synthesis.py --json bench/synthesis.json
	$(BIN)/python benchmarks/commands.py --json bench/commands.json
	$(BIN)/python benchmarks/fits.py --rounds 1 --json bench/fits.json
	$(BIN)/python benchmarks/plot.py bench

memory: $(VENV)/.stamp ## check that memory does not grow with the number of samples
	$(BIN)/python benchmarks/memory.py

fuzz: $(VENV)/.stamp ## fuzz every file reader, half an hour
	$(BIN)/pip install -q -c constraints.txt -e '.[nightly]'
	$(BIN)/python tests/fuzz.py

audit: $(VENV)/.stamp ## check constraints.txt for known vulnerabilities (uses the network)
	$(BIN)/pip install -q pip-audit
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

lock: $(VENV)/.stamp ## write requirements-ci.txt from pyproject.toml and constraints.txt
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --extra dev -c constraints.txt --generate-hashes --no-annotate \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --index-strategy unsafe-best-match \
		--torch-backend cpu -o requirements-ci.txt

docs: $(VENV)/.stamp ## write docs/artifacts.md from the schema tables
	$(BIN)/python -c "from gmmedit.artifacts.markdown import schema_markdown; print(schema_markdown(), end='')" > docs/artifacts.md

run: $(RUN)/edits.h5 ## run the five steps: RUN=runs/x GAN=avatars N=20000 ATTR=smile ALPHA=0.6 CONFIG=my.yaml NPROC=8

report: $(RUN)/report.html ## evaluate the edits of a run and write its report: RUN=runs/x

compare: $(RUN)/comparison.h5 ## compare with the baselines, then write the report
	$(page)

clean: ## remove .venv and caches, keep the runs
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find gmmedit tests -name __pycache__ -prune -exec rm -rf {} +

# LOCK=requirements-ci.txt installs only the wheels of that file, each checked against its SHA-256.
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

# One file per setting, which changes only when its value does: Make then rebuilds what depends on it.
SETTINGS := GAN N ATTR ALPHA EACH INDEX CONFIG
stale = $(filter-out =$(shell cat $(RUN)/.make/$1 2>/dev/null)=,=$($1)=)
$(foreach name,$(SETTINGS),$(eval $(RUN)/.make/$(name): $(if $(call stale,$(name)),FORCE)))

$(SETTINGS:%=$(RUN)/.make/%):
	@mkdir -p $(@D)
	@echo '$($(@F))' > $@

# A stage writes NAME.h5.partial and resumes it when run again. --force overwrites a file with other settings; a file
# that is up to date is not written, so `touch` updates its time for Make. NPROC=8: eight processes (docs/scale.md).
wide  := $(if $(NPROC),$(BIN)/torchrun --standalone --nproc-per-node $(NPROC) -m gmmedit --,$(BIN)/gmmedit)
stage = $(if $(filter edit,$1),$(BIN)/gmmedit,$(wide)) $1 --run $(RUN) $(if $(CONFIG),--config $(CONFIG)) $2 $(if $(filter edit,$1),,--force) $(FLAGS) && touch $@
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
scored := $(RUN)/samples.h5 $(RUN)/labels.h5 $(RUN)/mixture.h5

$(RUN)/evaluation.h5: $(scored) $(common)
	$(call stage,evaluate)

$(RUN)/comparison.h5: $(scored) $(RUN)/evaluation.h5 $(common)
	$(call stage,compare)

$(RUN)/report.html: $(scored) $(RUN)/single.h5 $(RUN)/evaluation.h5 | $(VENV)/.stamp
	$(page)
