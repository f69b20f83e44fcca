"""Checks of a configuration by its own annotations, before a model is built from it.

A configuration comes from an untrusted file or from a user's options.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

LARGEST = 1 << 24  # whole numbers; those of any real model are far below
DEEPEST = 1024  # layers or codebooks, which are built one by one
LONGEST = 64  # items of a list
NAMES = {int: f"a whole number from 0 to {LARGEST}", float: "a finite number", bool: "True or False", str: "a text"}


def check(config: Any, *, positive: Sequence[str] = (), deep: Sequence[str] = ()) -> None:
    """Refuses values of a dataclass that its annotations do not allow; ``layer_numbers`` checks ``layers``.

    Args:
        positive: fields whose numbers must be above 0.
        deep: fields that count layers or codebooks.
    """
    hints = get_type_hints(type(config))
    for name in (field.name for field in fields(config) if field.name != "layers"):
        value = getattr(config, name)
        if not fits(value, hints[name]):
            raise ValueError(f"{name}={value!r} is not {described(hints[name])}")
    for name in positive:
        if not all(number > 0 for number in _numbers(getattr(config, name))):
            raise ValueError(f"{name}={getattr(config, name)!r}: must be above 0")
    for name in deep:
        if not all(number <= DEEPEST for number in _numbers(getattr(config, name))):
            raise ValueError(f"{name}={getattr(config, name)!r}: must be at most {DEEPEST}")


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value fits an annotation; JSON's lists count as tuples, whole numbers as floats."""
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in inner
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or len(value) > LONGEST:
            return False
        hints = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(hints) and all(map(fits, value, hints))
    if hint is int:
        return is_whole(value) and 0 <= value <= LARGEST
    if hint is float:
        return is_number(value)
    return isinstance(value, (bool, np.bool_) if hint is bool else hint)


def described(hint: Any) -> str:
    """An annotation in words."""
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(described(one) for one in inner)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(inner)}"
    if get_origin(hint) is tuple:
        count = f"up to {LONGEST}" if inner[-1] is Ellipsis else len(inner)
        return f"a list of {count}, each {described(inner[0])}"
    return NAMES.get(hint, "None" if hint is NoneType else f"a {hint.__module__}.{hint.__qualname__}")


def _numbers(value: Any) -> list[Any]:
    """All numbers of a value: of a number itself, of nested lists, none of None."""
    if isinstance(value, (list, tuple)):
        return [number for inner in value for number in _numbers(inner)]
    return [] if value is None else [value]
