"""KEY=VALUE, as a command line takes options of models and entries of recipes."""

import json
from collections.abc import Callable, Sequence
from typing import Any


class AssignmentError(ValueError):
    """A text that is not of the form KEY=VALUE."""


def json_or_text(value: str) -> Any:
    """A value as JSON where it is JSON, else as it stands."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def assignments(
    pairs: Sequence[str], read: Callable[[str], Any] = json_or_text, *, form: str = "KEY=VALUE"
) -> list[tuple[str, Any]]:
    """Keys and values, in order.

    Args:
        pairs: texts KEY=VALUE.
        read: makes a value of its text.
        form: how an error says what is expected.
    """
    values = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise AssignmentError(f"{pair!r} is not of the form {form}")
        values.append((key, read(text)))
    return values
