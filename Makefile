# make all: reproduce; make test: invariants. Everything else: make help.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

PROFILE ?= quick
JOBS ?= $(shell nproc)
RESULTS ?= build/results
SHARDS ?= 1
BIN := .build/release
SWIFT_RELEASE := swift build -c release -Xcc -march=native
RUN_FLAGS := --profile $(PROFILE) --results $(RESULTS) $(if $(SEEDS),--seeds $(SEEDS))
# The data are in data/, or where the environment or the command line's DATA_DIR says.
# bad-token-spectra comes behind gpt2-fineweb, whose model it looks at.
EXPERIMENTS := trace-regression mlp-heavy-tails mlp-heatmap cifar10-resnet18 cifar10-truncation nanogpt-shakespeare \
	gpt2-fineweb bad-token-spectra theory-bounds clip-cost
SEARCHES := mlp-search nanogpt-search gpt2-search cifar10-search
FIGURES := $(EXPERIMENTS) $(SEARCHES)
# How each is started: runs side by side, or one run whose pieces are shared out.
start_trace-regression := $(BIN)/trace-regression --jobs $(JOBS)
start_mlp-heavy-tails := $(BIN)/mlp-heavy-tails --jobs $(JOBS)
start_mlp-heatmap := $(BIN)/mlp-heatmap --threads $(JOBS)
start_mlp-search := $(BIN)/mlp-heavy-tails search --threads $(JOBS)
start_nanogpt-shakespeare := $(BIN)/nanogpt-shakespeare --jobs $(JOBS)
start_nanogpt-search := $(BIN)/nanogpt-shakespeare search --threads $(JOBS)
# At toy size bad-token-spectra looks at one of its models; quick trains one (spectra-model).
start_gpt2-fineweb := $(BIN)/gpt2-fineweb --jobs $(JOBS) $(if $(filter smoke,$(PROFILE)),--keep-weights)
start_bad-token-spectra := $(BIN)/bad-token-spectra --jobs $(JOBS)
start_gpt2-search := $(BIN)/gpt2-fineweb search --threads $(JOBS)
start_cifar10-resnet18 := $(BIN)/cifar10-resnet18 --jobs $(JOBS)
start_cifar10-truncation := $(BIN)/cifar10-resnet18 truncation --jobs $(JOBS)
start_cifar10-search := $(BIN)/cifar10-resnet18 search --threads $(JOBS)
start_theory-bounds := $(BIN)/theory-bounds --jobs $(JOBS)
start_clip-cost := $(BIN)/clip-cost --jobs 1
# Where chosen hyper-parameters go.
chosen_mlp-search := mlp-heavy-tails
chosen_nanogpt-search := nanogpt-shakespeare
chosen_gpt2-search := gpt2-fineweb
chosen_cifar10-search := cifar10-resnet18
# Where a figure's records are looked for: fresh ones of this profile, else the checked-in ones.
PACKAGES := libopenblas-dev liblapacke-dev libhdf5-dev gnuplot
export OPENBLAS_NUM_THREADS := 1

.PHONY: fig1 fig7 spectra-model spectra-basic all test smoke figures record bench repeat claims lint burn help packages build \
	data data-quick data-gpt2 data-fineweb data-cifar data-fashion cifar-hint fig2a fig2b fig2c fig3 fig4 fig5 fig5a fig5b fig6 \
	fig6a fig6b fig6c table1 table2 table3 table4 theory cost gpt2-steps $(FIGURES) record-claims smoke-run

all: $(EXPERIMENTS) spectra-basic record-claims ## reproduce everything at PROFILE=quick: run, draw, check, print the verdicts

test: packages ## packages, then swift test (invariants)
	swift build --quiet --build-tests
	swift test --skip-build

fig1 fig7: bad-token-spectra
fig1: spectra-basic ## Figures 1, 7: gradient spectra as good tokens are replaced by bad ones
fig2a: cifar10-resnet18 ## Figure 2a: CIFAR-10 on CifarNet and ResNet-18: no clip, norm clip, spectral clip
fig2b: mlp-heavy-tails ## Figure 2b: the MLP under heavy-tailed gradient noise
fig2c fig6a fig6b: nanogpt-shakespeare
fig2c: ## Figures 2c, 6a, 6b: nanoGPT on Shakespeare, norm against spectral clipping
fig3 fig6c: gpt2-fineweb
fig3: ## Figures 3, 6c: GPT-2 pre-training, norm against spectral clipping
fig6: fig6a fig6c ## Figure 6
fig4: mlp-heatmap ## Figure 4: step size × threshold
fig5: fig5a fig5b ## Figure 5
fig5a: trace-regression ## Figure 5a: bias in trace regression
fig5b: cifar10-truncation ## Figure 5b: CIFAR-10, full against truncated SVD
theory: theory-bounds ## Theorems 3.3 and 3.4, Lemma C.1, Section 2.3, the neighbours' theorems, checked
cost: clip-cost ## §5.2: what exact and randomized clipping cost
table1: mlp-search ## Table 1: hyper-parameter search of the MLP (about 15 minutes at quick)
table2: cifar10-search ## Table 2: hyper-parameter search on CIFAR-10 (about 15 minutes at quick)
table3: nanogpt-search ## Table 3: hyper-parameter search of nanoGPT (about 20 minutes at quick)
table4: gpt2-search ## Table 4: hyper-parameter search of GPT-2 (about 15 minutes at quick)

$(FIGURES): build
	$(start_$@) $(RUN_FLAGS)
	@./figures/draw $@ $(RESULTS)/$@/$(PROFILE) build/figures

nanogpt-shakespeare nanogpt-search gpt2-fineweb gpt2-search gpt2-steps spectra-model spectra-basic: | data-quick

# The model that bad-token-spectra looks at, trained once; other profiles bring their own.
bad-token-spectra: $(if $(filter quick,$(PROFILE)),spectra-model)

cifar10-resnet18 cifar10-truncation cifar10-search: | cifar-hint

cifar-hint:
	@ls $(or $(DATA_DIR),data)/cifar*10*/*batch*.bin >/dev/null 2>&1 || echo "no CIFAR-10 here (make data-cifar gets it," \
	  "170 MB): a generated stand-in is used, and named on the figures"

spectra-model: build
	$(BIN)/gpt2-fineweb --profile spectra --keep-weights --jobs 1 --threads $(JOBS) --results $(RESULTS)

spectra-basic: build # the same figure for a model that nobody here trained, where its files are
	@if [ -f $(or $(DATA_DIR),data)/gpt2-basic-463k/GPT2WT.BIN ]; then set -x; \
	  $(BIN)/bad-token-spectra --profile basic --jobs $(JOBS) --results $(RESULTS); \
	  ./figures/draw bad-token-spectra $(RESULTS)/bad-token-spectra/basic build/figures bad-token-spectra-basic; \
	else echo "GPT2-BASIC is not there (make data): its figure is left out"; fi

gpt2-steps: build ## GPT-2 with 124 M parameters for a few real steps: loss, time, memory
	$(BIN)/gpt2-fineweb --profile gpt2-steps --jobs 1 --threads $(JOBS) --results $(RESULTS)
	@mkdir -p build/figures
	@$(BIN)/spectral caption $(RESULTS)/gpt2-fineweb/gpt2-steps figures/gpt2-steps.caption.md --out build/figures/gpt2-steps.md
	@cat build/figures/gpt2-steps.md

record-claims: $(EXPERIMENTS) spectra-basic
	@$(BIN)/spectral claims --results $(RESULTS) --out build/CLAIMS.md

figures: build ## redraw every figure from the checked-in records (no training)
	@for f in $(FIGURES); do \
	  for p in paper full quick; do if [ -d results/$$f/$$p ]; then \
	    ./figures/draw $$f results/$$f/$$p figures/out; break; fi; done; done
	@./figures/draw bad-token-spectra results/bad-token-spectra/basic figures/out bad-token-spectra-basic
	@./figures/draw cifar10-resnet18 results/cifar10-resnet18/jpeg figures/out cifar10-jpeg
	@$(BIN)/spectral caption results/gpt2-fineweb/gpt2-steps figures/gpt2-steps.caption.md --out figures/out/gpt2-steps.md

claims: build ## hold the checked-in records against the claims: CLAIMS.md, claims.tsv, README's table
	@$(BIN)/spectral claims --results results --out CLAIMS.md --readme README.md

record: build ## promote fresh records of this PROFILE from build/results to results/, redraw, rewrite CLAIMS.md
	@for f in $(FIGURES); do if [ -d $(RESULTS)/$$f/$(PROFILE) ]; then \
	  mkdir -p results/$$f/$(PROFILE) && cp -v $(RESULTS)/$$f/$(PROFILE)/*.h5 results/$$f/$(PROFILE)/ | tail -n 1; \
	fi; done
	@$(foreach s,$(SEARCHES),if [ -f $(RESULTS)/$(s)/$(PROFILE)/tuned.yaml ]; then \
	  cp -v $(RESULTS)/$(s)/$(PROFILE)/tuned.yaml experiments/$(chosen_$(s))/; fi;)
	@$(MAKE) --no-print-directory figures claims

smoke: build ## everything end to end at toy size (what CI runs)
	@rm -rf build/smoke
	@$(MAKE) --no-print-directory smoke-run PROFILE=smoke RESULTS=build/smoke/results

smoke-run: build
	@$(foreach f,$(FIGURES),$(start_$(f)) --profile smoke --results $(RESULTS);)
	@for f in $(FIGURES); do ./figures/draw $$f $(RESULTS)/$$f/smoke build/smoke/figures; done
	@$(BIN)/spectral claims --results $(RESULTS) --out build/smoke/CLAIMS.md
	@for f in $(FIGURES); do for s in svg pdf png; do test -s build/smoke/figures/$$f.$$s; done; done

repeat: build ## determinism: the same records at 1, 2 and 3 jobs, and after a kill
	@./experiments/repeat $(BIN)

bench: build ## benchmarks, one JSON line a case (compare.py adds PyTorch and NumPy)
	env -u OPENBLAS_CORETYPE $(BIN)/suite-bench
	@for c in nanogpt-cpu:50 nanogpt-cpu-spectral:50 nanogpt-paper:2 gpt2-4x64:4 gpt2-4x1024:1 gpt2-clip:2 \
	    gpt2-spectra:1 cifarnet-500:5 cifarnet-2000:2 resnet18-128:4; do \
	  env -u OPENBLAS_CORETYPE $(BIN)/suite-bench training-step --case $${c%:*} --steps $${c#*:} --threads 2; done

data-quick:
	@./data/fetch tinyshakespeare gpt2-bpe wikitext2-valid-test gpt2-basic-463k \
	  || echo "no download: where texts are missing a generated stand-in is used, and named on the figures"

data: ## download the small data sets (tiny Shakespeare, WikiText-2, GPT-2's vocabulary, GPT2-BASIC: 7 MB)
	@./data/fetch tinyshakespeare gpt2-bpe wikitext2-valid-test gpt2-basic-463k

data-gpt2: ## download GPT-2's weights (548 MB)
	@./data/fetch gpt2

data-fineweb: ## download the validation shard and SHARDS (1 to 20) training shards of FineWeb (200 MB each)
	@./data/fetch fineweb10B/fineweb_val_000000.bin \
	  $$(printf 'fineweb10B/fineweb_train_%06d.bin ' $$(seq 1 $(SHARDS)))

data-cifar: ## download CIFAR-10 (170 MB)
	@./data/fetch cifar-10-batches-bin

data-fashion: ## download Fashion-MNIST (31 MB)
	@./data/fetch fashion-mnist

lint: ## the formatter's rules
	swift format lint --strict -r Sources Tests Benchmarks Package.swift

burn: ## delete what is cheap to make again: builds, fresh records, figures in build/
	rm -rf .build build

help: ## this list, with the measured cost of each experiment
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18
	@if [ -x $(BIN)/spectral ]; then $(BIN)/spectral costs --results results; fi

build: packages
	@echo "building (the first time takes about a minute)"
	@$(SWIFT_RELEASE) --quiet

packages:
	@missing=""; \
	for p in openblas lapacke hdf5; do pkg-config --exists $$p 2>/dev/null || missing=yes; done; \
	command -v gnuplot >/dev/null || missing=yes; command -v pkg-config >/dev/null || missing=yes; \
	if [ -n "$$missing" ]; then \
	  install="apt-get install -y --no-install-recommends pkg-config $(PACKAGES) gnuplot-nox"; \
	  if [ "$$(id -u)" = 0 ]; then sudo=""; \
	  elif sudo -n true 2>/dev/null; then sudo="sudo"; \
	  else echo "missing Debian packages; type:  sudo apt-get update && sudo $$install" >&2; exit 1; fi; \
	  echo "installing: pkg-config $(PACKAGES)"; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo $$install >build-packages.log 2>&1 \
	    || { tail -n 5 build-packages.log >&2; exit 1; }; rm -f build-packages.log; \
	fi
