# make setup     .venv with everything that development needs
# make fast      the fast unit tests
# make lint      style and types
# make check     what must pass: a fresh .venv, all tests, style, types (.ci/run)
# make docs      the documentation as a site in build/site, warnings as errors
# make versions  the package beside old and new versions of torch (.ci/versions)

.PHONY: setup fast lint check docs versions
PYTHON ?= python3

# Tests of single functions and small random models: under a minute on two idle cores.
FAST = \
	tests/test_asit.py tests/test_audioformer.py tests/test_features.py tests/test_layers.py tests/test_mast.py \
	tests/test_msm_mae.py tests/test_relative.py tests/test_stack.py tests/test_windows.py \
	tests/test_golden_asit.py tests/test_golden_msm_mae.py tests/test_golden_mvit.py \
	tests/corpora/test_clips.py tests/corpora/test_tags.py \
	tests/evaluation/scoring/test_bootstrap.py tests/evaluation/scoring/test_decode.py \
	tests/evaluation/scoring/test_scores.py \
	tests/training/data/test_crops.py tests/training/objectives/test_msm_mae.py

setup:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -e '.[test]'
	.venv/bin/python -m tests.hear_tools

fast:
	OMP_NUM_THREADS=1 .venv/bin/pytest $(FAST)

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

check:
	.ci/run

docs:
	.venv/bin/pip install -q -e '.[docs]'
	.venv/bin/python docs/pages.py
	.venv/bin/mkdocs build -q -f docs/mkdocs.yml --strict

versions:
	.ci/versions
