# make setup     .venv with everything that development needs
# make fast      the fast unit tests
# make lint      style and types
# make check     what must pass: a fresh .venv, all tests, style, types (.ci/run)
# make versions  the package beside old and new versions of torch (.ci/versions)

.PHONY: setup fast lint check versions
PYTHON ?= python3

setup:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -e '.[test,dev]'
	.venv/bin/python -m tests.hear_tools

fast:
	.venv/bin/pytest -m 'fast and not heareval'

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

check:
	.ci/run

versions:
	.ci/versions
