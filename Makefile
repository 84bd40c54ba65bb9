# Every target does its own set-up from a fresh machine and does nothing twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STATE  := .make
PROTOS := $(shell find protos/zhengming -name '*.proto')
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes

# What `demo` and `run` build: make run NUMBERS=50000 DAYS=90 SEED=7
NUMBERS ?= 20000
SCENARIO ?= smoke
DAYS    ?= 60
SEED    ?= 1

.PHONY: help run demo test test-cluster test-containers check audit fuzz bench bench-truth bench-scoring bench-serving bench-telemetry bench-pages load models proto fmt golden image lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

# ---- set-up -----------------------------------------------------------------------------------

# debian PACKAGE PROBE: install PACKAGE when PROBE fails; as another user than root, say what to do.
define debian
	@if ! ( $(2) ) >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing $(1)"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1); } >$(STATE)/apt.log 2>&1 \
	      || { tail -5 $(STATE)/apt.log; exit 1; }; \
	  else echo "needed: $(1). Install it (Debian: apt-get install $(1)) and run again."; exit 1; fi; \
	fi
endef

$(STATE)/venv:
	@mkdir -p $(STATE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needed: Python 3.11 or newer"; exit 1; }
	$(call debian,python3-venv,$(PYTHON) -c "import ensurepip")
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@touch $@

$(STATE)/runtime: requirements.txt $(STATE)/venv
	@echo "installing what the services need into $(VENV)"
	@$(PIP) -r requirements.txt
	$(call debian,libgomp1,$(PY) -c "import lightgbm")
	@site=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  printf '%s\n%s\n' "$(CURDIR)" "$(CURDIR)/protos" > $$site/zhengming.pth
	@printf '%s\n' '#!$(CURDIR)/$(PY)' 'import sys' 'from services.cli.main import run' 'sys.exit(run())' > $(VENV)/bin/zhengming
	@chmod +x $(VENV)/bin/zhengming
	@touch $@

$(STATE)/tools: requirements-dev.txt $(STATE)/runtime
	@echo "installing what tests and checks need into $(VENV)"
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(STATE)/peers: requirements-bench.txt $(STATE)/tools
	@echo "installing the peers of the benchmarks into $(VENV)"
	@$(PIP) -r requirements-bench.txt
	$(call debian,redis-server,command -v redis-server)
	@touch $@

$(STATE)/clickhouse: $(STATE)/venv
	$(call debian,clickhouse-server clickhouse-client,command -v clickhouse-server)
	@touch $@

$(STATE)/kubectl: $(STATE)/venv
	@command -v kubectl >/dev/null || { echo "needed: kubectl 1.27 or newer, for its kustomize"; exit 1; }
	@touch $@

$(STATE)/chromium: $(STATE)/venv
	$(call debian,chromium fonts-noto-cjk,command -v chromium)
	@touch $@

$(STATE)/faketime: $(STATE)/venv
	$(call debian,libfaketime,ls /usr/lib/*/faketime/libfaketimeMT.so.1)
	@touch $@

$(STATE)/promtool: $(STATE)/venv
	$(call debian,--no-install-recommends prometheus,command -v promtool)
	@touch $@

# grpcio-tools is a tool of the build, so it is installed with the runtime of a checkout.
$(STATE)/protos: $(PROTOS) $(STATE)/runtime
	@site=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  mkdir -p $(STATE)/include/google/longrunning; \
	  cp $$site/google/longrunning/operations_proto.proto $(STATE)/include/google/longrunning/operations.proto; \
	  $(PY) -m grpc_tools.protoc -Iprotos -I$(STATE)/include -I$$site --python_out=protos --pyi_out=protos \
	    --grpc_python_out=protos --include_imports --include_source_info \
	    --descriptor_set_out=$(STATE)/api.binpb $(PROTOS)
	@touch $@

proto: $(STATE)/protos ## Python modules from the protos

# ---- use --------------------------------------------------------------------------------------

run: $(STATE)/protos ## simulate a city, judge every number in it, and keep serving
	@$(VENV)/bin/zhengming demo --numbers $(NUMBERS) --days $(DAYS) --seed $(SEED) --dir var/demo --serve

demo: $(STATE)/protos ## the same without staying
	@$(VENV)/bin/zhengming demo --numbers $(NUMBERS) --days $(DAYS) --seed $(SEED) --dir var/demo

test: $(STATE)/protos $(STATE)/tools $(STATE)/clickhouse $(STATE)/chromium $(STATE)/kubectl $(STATE)/promtool $(STATE)/faketime ## everything that must hold
	@$(PY) -m pytest --numprocesses=2 --dist=loadfile

test-cluster: $(STATE)/protos $(STATE)/tools $(STATE)/clickhouse $(STATE)/faketime ## two shards of two replicas; processes and a replica killed
	@$(PY) -m pytest --timeout=900 -k "not chdb" tests/store/test_cluster.py tests/store/test_lease.py \
	  tests/store/test_migrate_together.py tests/faults tests/e2e/test_services_apart.py \
	  tests/e2e/test_mark_to_reputation.py

check: $(STATE)/protos $(STATE)/tools ## style, types, API rules
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/buf lint $(STATE)/api.binpb --config protos/buf.yaml
	@$(VENV)/bin/buf format -d --exit-code protos
	@$(PY) -m tests.api_compatibility $(VENV)/bin/buf $(STATE)
	@$(PY) -m tests.licences

audit: $(STATE)/venv ## known weaknesses of what is pinned; needs the network
	@$(PY) -m venv $(STATE)/audit
	@$(STATE)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@for file in requirements requirements-dev requirements-bench requirements-image; do \
	  $(STATE)/audit/bin/pip-audit --strict --disable-pip --require-hashes -r $$file.txt; done

# SECONDS_EACH is for each target; SEED gives the same inputs in the same order.
SECONDS_EACH ?= 60
fuzz: $(STATE)/protos $(STATE)/tools ## bad input of every kind, counted: make fuzz SECONDS_EACH=600 SEED=7
	@$(PY) -m tests.fuzz --seconds $(SECONDS_EACH) --seed $(SEED)

bench: $(STATE)/protos $(STATE)/peers ## speed, memory and quality beside peers and limits
	$(call debian,nghttp2-client,command -v h2load)
	@$(PY) -m loadtests.bench

bench-truth: $(STATE)/protos $(STATE)/peers ## truth inference beside its peers, on ../shared/data/truth
	@$(PY) -m loadtests.bench_truth

bench-scoring: $(STATE)/protos $(STATE)/tools ## report on scoring beside plain LightGBM, on ../shared/data: var/bench/scoring.html
	@$(PY) -m loadtests.bench_scoring

bench-serving: $(STATE)/protos $(STATE)/peers ## lookups and bulk updates beside their peers, and how soon a mark is seen
	$(call debian,nghttp2-client,command -v h2load)
	@$(PY) -m loadtests.bench_serving
	@$(PY) -m loadtests.bench_freshness

load: $(STATE)/protos $(STATE)/tools ## a load scenario, SCENARIO=smoke, day, burst or soak (MINUTES=30): report in var/load
	@$(PY) -m loadtests.load $(SCENARIO) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE))

bench-telemetry: $(STATE)/protos $(STATE)/peers ## what telemetry costs a lookup
	@$(PY) -m loadtests.bench_telemetry

bench-pages: $(STATE)/protos ## the console's pages over a million numbers and 100,000 disputes
	@$(PY) -m loadtests.bench_pages

models: $(STATE)/protos ## learn the shipped models anew from a simulated city
	@$(PY) -m services.cli.shipped_model

fmt: $(STATE)/tools ## format code and protos
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/buf format -w protos

golden: $(STATE)/protos $(STATE)/tools ## rewrite the stored outputs; review the difference
	@ZHENGMING_REWRITE_GOLDEN=1 $(PY) -m pytest tests/golden

# Where no registry can be reached: make image BASE=localhost/python-base:bookworm
VERSION := $(shell sed -nE 's/^VERSION = "(.*)"/\1/p' services/common/version.py)
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null)
BASE    ?= docker.io/library/python:3.11-slim
# This machine's certificates and settings of pip, for the time of the build.
MOUNTS  := $(foreach path,/etc/ssl/certs $(HOME)/.config/pip,$(if $(wildcard $(path)),\
             -v $(path):$(subst $(HOME)/.config/pip,/root/.config/pip,$(path)):ro))

image: $(STATE)/venv ## the container image zhengming:VERSION, with podman
	$(call debian,podman,command -v podman)
	@podman build --quiet --network host $(MOUNTS) --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$(REVISION) \
	  -f Containerfile -t localhost/zhengming:$(VERSION) .
	@podman images localhost/zhengming:$(VERSION) --format '{{.Repository}}:{{.Tag}} {{.Size}}'

# The image of before: built from the commit before this one, with its own Containerfile.
test-containers: BASE := localhost/python-base:bookworm
test-containers: export CONTAINERS_CONF := $(CURDIR)/$(STATE)/containers/containers.conf
test-containers: $(STATE)/protos $(STATE)/tools $(STATE)/kubectl ## the image, and overlays local and small, run with podman
	@tests/containers/setup $(STATE)/containers
	@$(MAKE) --no-print-directory image BASE=$(BASE)
	@rm -rf $(STATE)/previous && mkdir -p $(STATE)/previous && git archive HEAD~1 | tar -x -C $(STATE)/previous
	@# What is equal in both has the same time in both, so that what is built of it is built once.
	@cd $(STATE)/previous && find . -type f | while read -r file; do \
	  if cmp -s "$$file" "$(CURDIR)/$$file"; then touch -r "$(CURDIR)/$$file" "$$file"; fi; done
	@podman build --quiet --network host $(MOUNTS) --build-arg BASE=$(BASE) \
	  --build-arg VERSION=$$(sed -nE 's/^VERSION = "(.*)"/\1/p' $(STATE)/previous/services/common/version.py) \
	  --build-arg REVISION=$$(git rev-parse --short HEAD~1) -f $(STATE)/previous/Containerfile \
	  -t localhost/zhengming:previous $(STATE)/previous >/dev/null
	@podman build --quiet --network host --build-arg BASE=$(BASE) -f tests/containers/clickhouse/Containerfile \
	  -t localhost/clickhouse-server:debian tests/containers/clickhouse >/dev/null
	@$(PY) -m pytest -m containers tests/containers

lock: $(STATE)/venv ## pin requirements*.in again, with hashes
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@for name in requirements requirements-dev requirements-bench requirements-image; do \
	  $(VENV)/bin/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	    $$name.in -o $$name.txt; done

clean: ## remove what the targets made (not the data in var/)
	@rm -rf $(VENV) $(STATE) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find protos -name '*_pb2*.py*' -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
