# Two commands: `make demo` shows the main job end to end, `make test` runs the tests.
# Both set up what they need in $(VENV) first; `make lint` and `make browser` are what CI adds, and
# `make test-slow` runs what `make test` leaves out, for it takes many minutes.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# sinabs asks for nir up to 1.0.4, which the exporters of snntorch and spikingjelly cannot fill; its
# own, and norse's, work with these too.
NIR = nir==1.0.8 nirtorch==2.6
INSTALLED = $(VENV)/.installed

.PHONY: demo test test-slow lint browser clean

demo: $(INSTALLED)
	$(BIN)/eventsim demo --out demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	# mypy cannot follow an editable install with renamed folders; links show it the names.
	mkdir -p build/mypy
	ln -sfn $(CURDIR)/bridge build/mypy/eventsim_bridge
	ln -sfn $(CURDIR)/tools build/mypy/eventsim_tools
	MYPYPATH=build/mypy $(BIN)/mypy -p eventsim -p eventsim_bridge -p eventsim_tools

# Chromium, for the tests that look at pages, which skip without it.
browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } || \
		{ echo "make browser: no Chromium, and apt-get cannot install it here" >&2; exit 1; }

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e ".[train,test]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(NIR)
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
