# SPDX-License-Identifier: Apache-2.0
# make all: reproduce; make test: invariants. Everything else: make help.
# What a figure is, how it is started and what it needs: experiments/figures.tsv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

PROFILE ?= quick
JOBS ?= $(shell nproc)
RESULTS ?= build/results
OUT ?= build/figures
SHARDS ?= 1
N ?= 50000
SEED ?= 1
KILLS ?= 200
BIN := .build/release
SWIFT_RELEASE := swift build -c release -Xcc -march=native
# The data are in data/, or where the environment or the command line's DATA_DIR says.
# MPI=1: with MPI, where `make packages MPI=1` has installed it; without it no symbol of it is built.
export PROFILE JOBS RESULTS OUT SEEDS BIN MPI
# ENGINE=slurm: runs are submitted to Slurm, with these; docs/CLUSTER.md.
ENGINE ?= local
CLUSTER ?= all
export ENGINE PARTITION TIME CONCURRENT MEMORY GROUP THREADS SBATCH DRY
export OPENBLAS_NUM_THREADS := 1

FIGURES := $(shell PROFILE=$(PROFILE) ./experiments/figure names)
RULES := $(shell PROFILE=$(PROFILE) ./experiments/figure rules)
ALIASES := $(shell cut -f 9 experiments/figures.tsv | tail -n +2)

.PHONY: all campaign test smoke smoke-run figures claims report report-test record repeat kills cluster-test mpi-test fuzz bench mutants docs lint clean help build packages \
	library-test install uninstall \
	cifar-hint fashion-hint emotion-hint data data-quick data-gpt2 data-fineweb data-cifar data-cifar100 data-fashion data-ptb data-minilm data-emotion $(FIGURES) $(filter-out -,$(ALIASES))

all: ## reproduce everything at PROFILE=quick: run, draw, check, print the verdicts
	@$(if $(filter local,$(ENGINE)),$(BIN)/spectral claims --results $(RESULTS) --out build/CLAIMS.md && ./experiments/figure times,$(BIN)/spectral jobs $(RESULTS))

$(FIGURES): build
	@./experiments/figure run $@

# Which figures `all` and `smoke-run` take, what comes before a figure, and its other names.
$(foreach rule,$(RULES),$(eval $(rule)))

test: packages ## packages, then swift test (invariants)
	swift build --quiet --build-tests
	swift test --skip-build --filter TensorMemoryTests  # alone: beside the others on a busy machine they did not end
	swift test --skip-build --skip TensorMemoryTests

figures: build ## redraw every figure from the checked-in records (no training)
	@./experiments/figure drawn figures/out

# A folder of records that was named, and not the usual one.
NAMED := $(if $(filter command line,$(origin RESULTS)),$(RESULTS))

claims: build ## hold the checked-in records against the claims: CLAIMS.md, claims.tsv, README's table (RESULTS=DIR: those, into build/)
	@$(BIN)/spectral claims $(if $(NAMED),--results $(NAMED) --out build/CLAIMS.md,--results results --out CLAIMS.md --readme README.md)

report: build ## one HTML page of all verdicts, figures and evidence: build/report/index.html (RESULTS=DIR: beside your own)
	@$(BIN)/spectral report --results results $(if $(NAMED),--fresh $(NAMED)) --out build/report

report-test: report ## look at the page in headless Chromium: console, width at 360 and 1440 pixels, screenshots
	@./experiments/report-test build/report

record: build ## promote fresh records of this PROFILE from build/results to results/, redraw, rewrite CLAIMS.md
	@./experiments/figure record
	@$(MAKE) --no-print-directory figures claims

smoke: build ## everything end to end at toy size (what CI runs)
	@rm -rf build/smoke
	@$(MAKE) --no-print-directory smoke-run PROFILE=smoke RESULTS=build/smoke/results OUT=build/smoke/figures

smoke-run:
	@$(BIN)/spectral claims --results $(RESULTS) --out build/smoke/CLAIMS.md

repeat: build ## determinism: the same records at 1, 2 and 3 jobs, and after a kill
	@./experiments/repeat $(BIN)

kills: build ## KILLS kills by TERM, INT and KILL over all experiments (default 200), and a disk that fills up: records must be equal
	@./experiments/kills $(BIN) $(KILLS)

cluster-test: build ## a Slurm of this machine's own, as root: arrays, kills, time limits; records equal the local engine's (CLUSTER=ci: a minute)
	@./experiments/slurm-test $(BIN) $(CLUSTER)

fuzz: build ## N damaged files of every format for the executables (default 50000, about an hour): traps, hangs, wrong results
	@$(BIN)/fuzz --count $(N) --seed $(SEED) --jobs $(JOBS) --bin $(BIN)

bench: build ## benchmarks, one JSON line a case (compare.py adds PyTorch and NumPy)
	@./Benchmarks/all $(BIN)

campaign: build ## the long runs of experiments/campaign.tsv, resumable, at the lowest priority (DRY=--dry-run lists them; PROMOTE=1: with the winners of their searches)
	@./experiments/campaign $(DRY) $(if $(PROMOTE),--promote)

mpi-test: ## runs on 1 to 4 ranks of Open MPI: equal records, a killed rank, refusals, a slow line (CLUSTER=ci: one on 1 to 3; skipped without Open MPI)
	@MPI=1 ./experiments/packages || { echo "mpi-test skipped: Open MPI is not installed, and cannot be"; exit 0; }; \
	if [ $(CLUSTER) = ci ]; then \
	  for product in gpt2-fineweb spectral; do MPI=1 $(SWIFT_RELEASE) --quiet --product $$product; done; \
	else $(MAKE) --no-print-directory build MPI=1; fi; \
	./experiments/mpi-test $(BIN) $(CLUSTER)

mutants: packages ## small faults put into the sources one at a time: which of them do the tests not catch?
	@./experiments/mutants

docs: packages ## the documentation of every library as static pages in build/docs; a warning is an error
	@./experiments/docs build/docs

lint: ## the formatter's rules
	swift format lint --strict -r Sources Tests Benchmarks Package.swift

clean: ## delete what is cheap to make again: builds, fresh records, figures in build/
	rm -rf .build build

data-quick:
	@./data/fetch tinyshakespeare gpt2-bpe wikitext2-valid-test gpt2-basic-463k \
	  || echo "no download: where texts are missing a generated stand-in is used, and named on the figures"

cifar-hint:
	@ls $(or $(DATA_DIR),data)/cifar*10*/*batch*.bin >/dev/null 2>&1 || echo "no CIFAR-10 here (make data-cifar gets it," \
	  "170 MB): a generated stand-in is used, and named on the figures"

fashion-hint:
	@ls $(or $(DATA_DIR),data)/fashion-mnist*/train-images-idx3-ubyte >/dev/null 2>&1 || echo "no Fashion-MNIST here" \
	  "(make data-fashion gets it, 31 MB): a generated stand-in is used, and named on the figures"

emotion-hint:
	@ls $(or $(DATA_DIR),data)/emotion/train.txt >/dev/null 2>&1 || echo "no Emotion here (make data-emotion gets it, 2 MB):" \
	  "a generated stand-in is used, and named on the figures"
	@ls $(or $(DATA_DIR),data)/minilm/model.safetensors >/dev/null 2>&1 || echo "no MiniLM here (make data-minilm gets it," \
	  "84 MB): the encoder begins at seeded weights, and it is said on the figures"

data: ## download the small data sets (tiny Shakespeare, WikiText-2, GPT-2's vocabulary, GPT2-BASIC: 7 MB)
	@./data/fetch tinyshakespeare gpt2-bpe wikitext2-valid-test gpt2-basic-463k

data-gpt2: ## download GPT-2's weights (548 MB)
	@./data/fetch gpt2

data-fineweb: ## download the validation shard and SHARDS (1 to 20) training shards of FineWeb (200 MB each)
	@./data/fetch fineweb10B/fineweb_val_000000.bin \
	  $$(printf 'fineweb10B/fineweb_train_%06d.bin ' $$(seq 1 $(SHARDS)))

data-cifar: ## download CIFAR-10 (170 MB)
	@./data/fetch cifar-10-batches-bin

data-cifar100: ## download CIFAR-100 (169 MB)
	@./data/fetch cifar-100-binary

data-fashion: ## download Fashion-MNIST (31 MB)
	@./data/fetch fashion-mnist

data-ptb: ## download Penn Treebank by words (2 MB)
	@./data/fetch ptb

data-minilm: ## download MiniLM, a BERT of 23 million parameters, and its vocabulary (84 MB; needs unzip)
	@./data/fetch minilm

data-emotion: ## download Emotion, 20 000 short texts with one of six emotions each (2 MB)
	@./data/fetch emotion

library-test: build ## the C library's test, compiled with cc against the optimized library
	@./examples/c/check $(BIN)

install: build ## programs, C library, header and pkg-config file below PREFIX (needed; for example PREFIX=$$HOME/.local)
	@./experiments/install install "$(PREFIX)" $(BIN)

uninstall: ## delete what install put below PREFIX
	@./experiments/install uninstall "$(PREFIX)" $(BIN)

help: ## this list, with the measured cost of each experiment
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 27
	@./experiments/figure list
	@if [ -x $(BIN)/spectral ]; then $(BIN)/spectral costs --results results; fi

build: packages
	@echo "building (the first time takes two minutes or more)"
	@began=$$SECONDS; $(SWIFT_RELEASE) --quiet; ./experiments/figure took build $$((SECONDS - began))

packages:
	@./experiments/packages
