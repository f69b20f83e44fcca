"""Sections of a recipe -> typed values: the keys that a dataclass or a function takes, each of the type it says.

An error names the file, the key and what was expected.
"""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import click

NAMES = {
    int: "a whole number",
    float: "a number, such as 1.0e-3",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
}
T = TypeVar("T")


class RecipeError(click.UsageError):
    """A recipe that cannot be used as it is written."""


class Where(NamedTuple):
    """A place in a recipe, for errors: the file, and the path of keys such as ``loop.batch``."""

    source: str
    path: str = ""

    def of(self, key: str) -> "Where":
        """The place of a key below this one."""
        return Where(self.source, f"{self.path}.{key}" if self.path else key)

    def error(self, message: str) -> RecipeError:
        """An error that begins with the file."""
        return RecipeError(f"{self.source}: {message}")


class Key(NamedTuple):
    """A key that a section may have."""

    hint: Any
    required: bool


Keys = Mapping[str, Key]


def keys_of(cls: Any) -> dict[str, Key]:
    """The keys of a section that becomes a dataclass."""
    hints = get_type_hints(cls)
    return {
        field.name: Key(hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in fields(cls)
        if field.init and not field.name.startswith("_")
    }


def keywords(*targets: Callable[..., Any], without: Collection[str] = ()) -> dict[str, Key]:
    """The keys of a section that becomes the keyword arguments of functions or classes, but for those left out."""
    keys: dict[str, Key] = {}
    for target in targets:
        function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
        hints = get_type_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and name not in without:
                keys.setdefault(name, Key(hints[name], parameter.default is parameter.empty))
    return keys


def arguments(keys: Keys, section: Any, where: Where) -> dict[str, Any]:
    """The values of a section by key, checked."""
    section = mapping(section, keys, where)
    if missing := [key for key, (_, required) in keys.items() if required and section.get(key) is None]:
        subject = where.path or "the recipe"
        raise where.error(f"{subject} lacks {', '.join(missing)}: say {where.of(missing[0]).path}=...")
    return {key: value_of(value, keys[key].hint, where.of(key)) for key, value in section.items()}


def mapping(section: Any, known: Collection[str], where: Where) -> Mapping[str, Any]:
    """A section that has known keys alone; null is an empty one."""
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise where.error(f"{where.path}={section!r}: expected entries KEY: VALUE; known are {', '.join(known)}")
    if unknown := [str(key) for key in section if key not in known]:
        close = difflib.get_close_matches(unknown[0], known, 1)
        hint = f". Did you mean {where.of(close[0]).path}?" if close else ""
        raise where.error(f"unknown {where.of(unknown[0]).path}; known are {', '.join(known)}{hint}")
    return section


def parse(cls: type[T], section: Any, where: Where) -> T:
    """A section as an object of a dataclass."""
    values = arguments(keys_of(cls), section, where)
    try:
        return cls(**values)
    except ValueError as error:
        raise where.error(str(error)) from error


def value_of(value: Any, hint: Any, where: Where) -> Any:
    """A value as its annotation wants it: a list as a tuple, a whole number as a float, a section as a dataclass."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return _one_of(value, inner, where)
    if is_dataclass(hint):
        return parse(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        matches = value in inner
    elif origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return {str(key): value_of(entry, inner[1], where.of(str(key))) for key, entry in value.items()}
        matches = False
    elif origin is not None and issubclass(origin, Sequence):
        if isinstance(value, (list, tuple)):
            return _sequence(value, origin, inner, where)
        matches = False
    elif hint is float:
        matches = isinstance(value, (int, float)) and not isinstance(value, bool)
        value = float(value) if matches else value
    else:
        matches = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if not matches:
        raise where.error(f"{where.path}={value!r}: expected {described(hint)}")
    return value


def _one_of(value: Any, hints: Sequence[Any], where: Where) -> Any:
    """The value as the first of several annotations that takes it; a section that one of them describes, as that."""
    if value is None and NoneType in hints:
        return None
    sections = [hint for hint in hints if is_dataclass(hint)]
    if sections and isinstance(value, Mapping):
        return value_of(value, sections[0], where)
    for hint in hints:
        try:
            return value_of(value, hint, where)
        except RecipeError:
            continue
    raise where.error(f"{where.path}={value!r}: expected {' or '.join(described(hint) for hint in hints)}")


def _sequence(values: Sequence[Any], origin: Any, hints: Sequence[Any], where: Where) -> Any:
    """A list as the tuple, or the list, that its annotation describes."""
    repeated = origin is not tuple or hints[-1] is Ellipsis
    expected = [hints[0]] * len(values) if repeated else hints
    if len(values) != len(expected):
        raise where.error(f"{where.path}={list(values)!r}: expected {len(expected)} values")
    entries = [value_of(value, hint, where) for value, hint in zip(values, expected, strict=True)]
    return tuple(entries) if origin is tuple else entries


def described(hint: Any) -> str:
    """An annotation in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(described(one) for one in inner)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if is_dataclass(hint):
        return f"entries of {', '.join(keys_of(hint))}"
    if origin is not None and issubclass(origin, Mapping):
        return f"entries KEY: VALUE, each {described(inner[1])}"
    if origin is not None and issubclass(origin, Sequence):
        return f"a list, each {described(inner[0])}"
    return NAMES.get(hint, f"a {getattr(hint, '__name__', hint)}")


def plain_defaults(cls: Any) -> dict[str, Any]:
    """What a recipe has where it says nothing, as YAML holds it: sections are empty, required values null."""
    defaults: dict[str, Any] = {}
    for field in fields(cls):
        value = field.default if field.default_factory is MISSING else field.default_factory()
        section = is_dataclass(value) or (value is MISSING and is_dataclass(get_type_hints(cls)[field.name]))
        defaults[field.name] = {} if section else None if value is MISSING else value
    return defaults
