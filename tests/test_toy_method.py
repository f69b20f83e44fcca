"""A fifth method is one file and one line in the table of methods: a toy keeps every promise that the four keep."""

import sys

import pytest

from hear_audioformer.index import METHODS
from tests import test_promises, toy_method
from tests.training.objectives import test_classify

ELSEWHERE = {"test_an_hour_needs_no_more_memory_than_a_minute"}  # in a process that does not know the toy
CLASSIFIER = ("test_training_hears_what_inference_hears", "test_only_a_frozen_encoder_gets_no_gradient")


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> str:
    """The toy, registered as if its file stood in the package."""
    monkeypatch.setitem(METHODS, toy_method.METHOD, "toy_method")
    monkeypatch.setitem(sys.modules, "hear_audioformer.toy_method", toy_method)
    return toy_method.METHOD


@pytest.fixture
def encoder_method(method: str) -> str:
    return method


# The tests themselves; their fixtures ask for the ``method`` of this file.
globals().update({name: test for name, test in vars(test_promises).items() if name.startswith("test_")})
globals().update({name: vars(test_classify)[name] for name in CLASSIFIER})
for name in ELSEWHERE:
    del globals()[name]
