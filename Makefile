# What people type. `make run` shows Penstock at work, `make test` is what CI runs.
# JOBS limits compilers at a time; builds are in build/<preset>.
PRESET ?= release
JOBS ?= $(shell nproc)
BUILD := build/$(PRESET)
PYTHON := $(CURDIR)/.venv/bin/python

# Clones in different folders share what they compiled.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
# The demo's steps and the tests start the project's Python by its plain name.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: build run test bench asan tsan setup lint check format clean configure

build: configure
	cmake --build $(BUILD) -j $(JOBS)

run: configure
	cmake --build $(BUILD) -j $(JOBS) --target penstock
	$(BUILD)/bin/penstock demo

test: setup
	$(PYTHON) tools/run_tests.py --preset $(PRESET) --jobs $(JOBS)

asan tsan: setup
	$(PYTHON) tools/run_tests.py --preset $@ --jobs $(JOBS) --only build,ctest

bench: build
	@set -e; for program in $(BUILD)/bin/*_bench; do \
	  if [ -x "$$program" ]; then echo "== $$program"; "$$program"; fi; done
	@set -e; for program in bench/*_bench.py; do echo "== $$program"; $(PYTHON) "$$program"; done

setup:
	@tools/setup.sh

configure: setup
	@cmake --preset $(PRESET) -Wno-dev --log-level=WARNING

# The cheap half of lint, for before a commit.
check: setup
	$(PYTHON) tools/check_layers.py
	tools/format.sh --check

lint: check configure
	tools/tidy.sh $(BUILD) $(JOBS)

format: setup
	tools/format.sh

clean:
	rm -rf build
