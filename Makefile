# make figures                        every figure and table, profile quick: 2 CPU cores, half an hour
# make figures PROFILE=paper ONLY=01  the paper's settings, chosen notebooks; ARGS=--resume keeps finished ones
# make test                           the tests; some of them: make test ARGS="-m data"
# make lab                            JupyterLab on the notebooks (as root: make lab ARGS=--allow-root)
# make page                           what docs/index.html needs: networks as ONNX, onnxruntime-web by npm
PYTHON ?= python3
PROFILE = quick
ONLY =
ARGS =
VENV := .venv
RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip install --no-user --disable-pip-version-check
VERSION := -c "import sys; print(sys.version_info[:2])"
TRAINED := data/checkpoints/style
STYLES := $(patsubst $(TRAINED)/%_instance.safetensors,%,$(wildcard $(TRAINED)/*_instance.safetensors))

# what a shell sets for other projects: packages of theirs, and where pip puts its own
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.PHONY: figures test lint lab page clean set-up

figures: $(VENV)/.ready
	$(RUN) replication figures --profile "$(PROFILE)" $(if $(ONLY),--only "$(ONLY)") $(ARGS)

test: $(VENV)/.ready
	$(RUN) pytest $(ARGS)

lint: $(VENV)/.ready
	$(RUN) ruff check
	$(RUN) ruff format --check

lab: $(VENV)/.ready
	PYTHONPATH="$(CURDIR)" $(RUN) jupyterlab $(ARGS) notebooks

page: docs/ort $(STYLES:%=docs/models/%.onnx) docs/models/sample.jpg

docs/ort: docs/package.json
	npm install --prefix docs --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error
	mkdir -p docs/node_modules/ort
	cd docs/node_modules/onnxruntime-web/dist && cp ort.wasm.min.mjs ort.webgpu.min.mjs \
		ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm \
		ort-wasm-simd-threaded.asyncify.mjs ort-wasm-simd-threaded.asyncify.wasm ../../ort
	rm -rf $@ && mv docs/node_modules/ort $@
	rm -r docs/node_modules

docs/models/%.onnx: $(TRAINED)/%_instance.safetensors data/styles/%.jpg $(VENV)/.ready
	$(RUN) replication export $< -o $@
	cp data/styles/$*.jpg docs/models

docs/models/sample.jpg: $(VENV)/.ready
	$(VENV)/bin/python -c "from replication import content_picture, save_image; save_image(content_picture('chelsea').image, '$@')"

clean:
	rm -rf $(VENV) .venv.lock build dist *.egg-info docs/ort docs/models figures/quick figures/smoke

# one make at a time: the first two may well be started side by side
# pip keeps all it fetches in TMPDIR until the end: gigabytes, where /tmp is often memory
$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 15) or sys.exit("error: Python 3.11 to 3.14 is needed, $(PYTHON) is %d.%d; try make PYTHON=python3.12" % v[:2])'
	@while ! mkdir .venv.lock 2> /dev/null; do \
		[ -d .venv.lock ] || [ -w . ] || { echo "error: $(CURDIR) cannot be written into" >&2; exit 1; }; \
		[ "$$told" ] || echo "waiting for another make, which sets up $(VENV); if there is none: rmdir .venv.lock"; \
		told=1; sleep 1; \
	done; \
	trap 'rmdir .venv.lock' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP; \
	[ "$$told" ] && [ $@ -nt requirements.txt ] && [ $@ -nt pyproject.toml ] || $(MAKE) --no-print-directory set-up

set-up:
	$(PYTHON) -m venv $$([ "$$($(VENV)/bin/python $(VERSION) 2>&1)" = "$$($(PYTHON) $(VERSION))" ] || echo --clear) $(VENV)
	@rm -rf $(VENV)/tmp && mkdir $(VENV)/tmp
	TMPDIR="$$(cd $(VENV)/tmp && pwd)" $(PIP) --requirement requirements.txt
	TMPDIR="$$(cd $(VENV)/tmp && pwd)" $(PIP) --no-deps --no-build-isolation --editable .
	@rm -r $(VENV)/tmp && touch $(VENV)/.ready
