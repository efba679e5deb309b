# Two commands: `make demo` shows the main job end to end, `make test` runs the tests.
# Each sets up what it needs, and no more, in $(VENV) first; `make lint`, `make browser` and
# `make docs` are what CI adds, and `make test-slow` runs what `make test` leaves out, for it takes
# many minutes.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# sinabs asks for nir up to 1.0.4, which the exporters of snntorch and spikingjelly cannot fill; its
# own, and norse's, work with these too.
NIR = nir==1.0.8 nirtorch==2.6
FOR_DEMO = $(VENV)/.for-demo
FOR_TESTS = $(VENV)/.for-tests
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
FOR_DOCS = $(VENV)/.for-docs
PICTURES = $(patsubst examples/%.py,build/examples/%.png,$(wildcard examples/*.py))

# mypy and mkdocstrings cannot follow an editable install with renamed folders; links show the names.
LINKS = mkdir -p build/links && ln -sfn $(CURDIR)/bridge build/links/eventsim_bridge && \
	ln -sfn $(CURDIR)/tools build/links/eventsim_tools

.PHONY: demo test test-slow lint browser docs clean

demo: $(FOR_DEMO)
	$(BIN)/eventsim demo --out demo

test: $(FOR_TESTS)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(FOR_TESTS)
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

lint: $(FOR_TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(LINKS)
	MYPYPATH=build/links $(BIN)/mypy -p eventsim -p eventsim_bridge -p eventsim_tools

# Chromium, for the tests that look at pages, which skip without it.
browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } || \
		{ echo "make browser: no Chromium, and apt-get cannot install it here" >&2; exit 1; }

# The site, from docs/, examples/ and docstrings. The variable keeps a notice about another program
# out of what is printed.
docs: $(FOR_DOCS) $(PICTURES)
	$(LINKS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/site/links.py build/site

build/examples/%.png: examples/%.py | $(FOR_TESTS)
	mkdir -p $(@D)
	cd $(@D) && MPLBACKEND=agg $(abspath $(BIN))/python $(abspath $<)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(FOR_DEMO): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the demo needs into $(VENV) (1.5 GB with a torch for CPUs, more with one for GPUs)"
	$(INSTALL) -c constraints.txt -e ".[train]"
	touch $@

$(FOR_TESTS): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the tests need into $(VENV)"
	$(INSTALL) -c constraints.txt -e ".[train,test]"
	$(INSTALL) --no-deps $(NIR)
	touch $@ $(FOR_DEMO)

$(FOR_DOCS): $(FOR_TESTS)
	$(INSTALL) -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
