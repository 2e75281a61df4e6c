# Everything here runs on a machine that has Python 3.12 or later, pip and make.
VENV := .venv
READY := $(VENV)/.ready
BENCH := $(if $(QUICK),--quick,--out docs/performance.md)

.PHONY: help demo test test-oldest check format bench bench-peers bench-parts detection dashboards studio lock clean

help:                   ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(READY)          ## run the fence, a stand-in API and sample callers on this machine
	@$(VENV)/bin/modelfence demo

test: $(READY)          ## run the tests
	@$(VENV)/bin/python -m pytest --numprocesses 3 --dist loadfile $(TESTS)

test-oldest:            ## run tests that reach into all parts on Python 3.12, the oldest that will do
	@$(MAKE) --no-print-directory test VENV=.venv/oldest VERSION=3.12 TESTS="tests/core tests/cli"

check: $(READY)         ## check style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(READY)        ## put the code into its standard form
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(READY)         ## measure the fence beside mitmproxy alone into docs/performance.md (ten minutes; QUICK=1: two)
	@$(VENV)/bin/python -m bench.proxy $(BENCH)

bench-peers: $(READY)   ## the same with LiteLLM and Portkey, installed into .bench
	@$(VENV)/bin/python -m bench.proxy --peers $(BENCH)

bench-parts: $(READY)   ## measure decisions, candidates, metrics, the store, evidence, detection, replay, overshoot and faults (quarter of an hour)
	@$(VENV)/bin/python -m bench.decision
	@$(VENV)/bin/python -m bench.candidate
	@$(VENV)/bin/python -m bench.metrics
	@$(VENV)/bin/python -m bench.store
	@$(VENV)/bin/python -m bench.evidence
	@$(VENV)/bin/python -m bench.audit
	@$(VENV)/bin/python -m bench.extraction
	@$(VENV)/bin/python -m bench.replay
	@$(VENV)/bin/python -m bench.overshoot
	@$(VENV)/bin/python -m bench.store_faults

detection: $(READY)     ## measure detection on a simulated day, and on TRAFFIC=DIR if given (OUT=docs/detection.md)
	@$(VENV)/bin/python -m bench.detection $(TRAFFIC) --out $(or $(OUT),docs/detection.md)

dashboards: $(READY)    ## write grafana/dashboards/ from the code in tools/dashboards/
	@$(VENV)/bin/python -m tools.write_dashboards

LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.12

studio:                 ## bundle the studio's page from tools/studio/ (needs npm)
	@npm --prefix tools/studio ci --no-audit --no-fund --ignore-scripts
	@npm --prefix tools/studio run build

lock:                   ## resolve the dependencies anew (needs uv): all, those of the image, those that build it
	$(LOCK) --group dev -o requirements.lock pyproject.toml
	$(LOCK) --constraints requirements.lock -o deploy/requirements.lock pyproject.toml
	$(LOCK) --constraints requirements.lock --group build -o deploy/requirements-build.lock

clean:                  ## remove what was set up
	rm -rf $(VENV)

$(READY): requirements.lock pyproject.toml
	@python=$$(tools/find-python $(VERSION)) && echo "setting up $(VENV) with $$python (once; about a minute)" && \
	    "$$python" -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock || { \
	    echo "pip did not get the packages: they come from the internet, or from the index that PIP_INDEX_URL names" >&2; \
	    exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
