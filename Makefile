# Two commands: `make demo` shows the main job end to end, `make test` runs the tests.
# Each sets up what it needs, and no more, in $(VENV) first; `make lint` and `make browser` are what
# CI adds to the tests, and `make test-slow` runs what `make test` leaves out, for it takes many
# minutes.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# sinabs asks for nir up to 1.0.4, which the exporters of snntorch and spikingjelly cannot fill; its
# own, and norse's, work with these too.
NIR = nir==1.0.8 nirtorch==2.6
FOR_DEMO = $(VENV)/.for-demo
FOR_TESTS = $(VENV)/.for-tests
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow lint browser clean

demo: $(FOR_DEMO)
	$(BIN)/eventsim demo --out demo

test: $(FOR_TESTS)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(FOR_TESTS)
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

lint: $(FOR_TESTS)
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

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(FOR_DEMO): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the demo needs into $(VENV) (about 1 GB with a torch for CPUs)"
	$(INSTALL) -c constraints.txt -e ".[train]"
	touch $@

$(FOR_TESTS): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the tests need into $(VENV)"
	$(INSTALL) -c constraints.txt -e ".[train,test]"
	$(INSTALL) --no-deps $(NIR)
	touch $@ $(FOR_DEMO)

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
