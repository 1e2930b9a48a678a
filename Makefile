# `make run` on a fresh machine installs LibTorch, builds, trains and prints a table; `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-python setup-paper setup-browser setup-lint build run test race test-in check-headers fuzz tables reproduce paper bench gpu-bundle fmt lint clean

env := . libtorch/env.sh;

# C++ is compiled once for each LibTorch and set of flags; nobody should take that for a hang.
compile = libtorch/compile.sh

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

setup: ## install what is missing: g++, LibTorch, OpenBLAS
	@libtorch/install.sh

setup-python: ## the same and PyTorch, for bench
	@libtorch/install.sh --python

setup-paper: ## the same and LaTeX, for paper
	@libtorch/install.sh --paper

setup-browser: ## the same and Chromium, in which a test reads the report
	@libtorch/install.sh --browser

build: setup ## build bin/engram
	@$(compile)
	@$(env) go build -buildvcs=auto -o bin/engram ./cmd/engram

run: build ## train the quick-start experiments and print their table
	@$(env) bin/engram run experiments/quickstart-protonet.yaml experiments/quickstart-matchingnet.yaml

test: setup ## run all tests
	@$(compile)
	@$(env) go test -timeout 20m ./...
	@$(env) cd examples/extend; go vet ./... && go test ./...

# The detector keeps C++ apart from the ordinary one: it is compiled once more.
race: setup ## run the concurrent tests under the race detector
	@$(compile) -race
	@$(env) $(race)

# What starts goroutines, and the tests that run it: a pattern for each package.
race := go test -race -timeout 10m ./tensor -run 'Concurrent|Goroutines|DoContext'; \
	go test -race -timeout 10m ./memory -run 'Example_service'; \
	go test -race -timeout 10m ./fewshot -run 'Each|PanicOfATask'; \
	go test -race -timeout 10m ./episode -run 'Prefetch'

SUITE ?= trixie

test-in: ## build, train the quick start and run the computing tests in another Debian (SUITE=trixie, testing)
	@libtorch/debian.sh $(SUITE)

check-headers: ## compile all C++ against the headers of Debian testing, and for arm64
	@libtorch/debian.sh trixie libtorch/headers.sh

FUZZTIME ?= 30s

# At the end of its time the fuzzer of Go before 1.27 now and then reports its own deadline as a failure (golang/go#75804): it is
# run again when it has written no failing input. Inputs of new coverage are reduced by few calls, or that takes all the time.
fuzz: setup ## fuzz every parser, each for FUZZTIME (30s)
	@$(env) fuzz() { go test "$$1" -run '^$$' -fuzz "^$$2$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x 2>&1 | tee "$$log"; }; \
	deadline() { grep -q 'context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log"; }; \
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z]*' . | sort | while IFS=: read -r file func; do \
		set -- "$$(dirname "$$file")" "$${func#func }"; \
		fuzz "$$@" || { deadline && fuzz "$$@"; }; done

tables: build ## generate the result tables from the committed results
	@bin/engram table

BUDGET ?=

reproduce: build ## list every published figure with its status; BUDGET=2h runs what fits
	@$(env) bin/engram reproduce $(if $(BUDGET),--budget $(BUDGET))

# LaTeX tells what is wrong in its log alone.
paper: setup-paper ## build paper/engram.pdf from the committed tables and drawings
	@mkdir -p paper/figures
	@for svg in results/plots/*.svg results/stream.svg; do \
		rsvg-convert --format=pdf --output=paper/figures/$$(basename $$svg .svg).pdf $$svg; done
	@cd paper; latex() { pdflatex -interaction=nonstopmode -halt-on-error engram >engram.said || { tail -n 40 engram.said >&2; exit 1; }; }; \
	latex; bibtex -terse engram; latex; latex; \
	if grep -E 'undefined (references|citations)|Missing character' engram.log >&2; then exit 1; fi
	@echo paper/engram.pdf

bench: setup-python build ## compare speed with PyTorch, and generate results/speed.md
	@$(env) go build -buildvcs=auto -o bin/bench ./bench; bin/bench -json results
	@bin/engram table >/dev/null; echo results/speed.md

gpu-bundle: setup ## pack the check of a CUDA device for a machine without a network: bench/gpu
	@$(env) bench/gpu/bundle.sh

setup-lint: ## the same and clang-format, for fmt and lint
	@libtorch/install.sh --lint

cxx := find tensor -name '*.cpp' -o -name '*.h'

fmt: setup-lint ## format the Go and C++ files
	@$(env) gofmt -w .; $(cxx) | xargs clang-format -i

lint: setup-lint ## check formatting, go vet, staticcheck
	@$(env) unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):" $$unformatted >&2; exit 1; fi; \
	$(cxx) | xargs clang-format --dry-run --Werror; \
	go vet ./...; go tool staticcheck ./...

clean: ## remove what was built here; Go's build cache stays
	@rm -rf bin paper/figures
	@cd paper && find . -maxdepth 1 -name 'engram.*' ! -name engram.tex -delete
