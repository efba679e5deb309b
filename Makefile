# Two commands: `make demo` shows the main job end to end, `make test` runs the tests.
# Both set up what they need in $(VENV) first; `make lint`, `make browser` and `make docs` are what CI adds, and
# `make test-slow` runs what `make test` leaves out, for it takes many minutes.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# sinabs asks for nir up to 1.0.4, which the exporters of snntorch and spikingjelly cannot fill; its
# own, and norse's, work with these too.
NIR = nir==1.0.8 nirtorch==2.6
INSTALLED = $(VENV)/.installed
PICTURES = $(patsubst examples/%.py,build/examples/%.png,$(wildcard examples/*.py))

# mypy and mkdocstrings cannot follow an editable install with renamed folders; links show the names.
LINKS = mkdir -p build/links && ln -sfn $(CURDIR)/bridge build/links/eventsim_bridge && \
	ln -sfn $(CURDIR)/tools build/links/eventsim_tools

.PHONY: demo test test-slow lint browser docs clean

demo: $(INSTALLED)
	$(BIN)/eventsim demo --out demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

lint: $(INSTALLED)
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
docs: $(VENV)/.docs $(PICTURES)
	$(LINKS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/site/links.py build/site

build/examples/%.png: examples/%.py | $(INSTALLED)
	mkdir -p $(@D)
	cd $(@D) && MPLBACKEND=agg $(abspath $(BIN))/python $(abspath $<)

$(VENV)/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e ".[train,test]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(NIR)
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
