"""A weight file -> the Hub -> an entry of the index, which pins the commit."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..files import write_text
from .plan import Plan, prepare
from .upload import send


@dataclass(frozen=True)
class Publication:
    """What was published.

    Attributes:
        plan: the files.
        revision: the commit.
        entry: by the model's name, as ``weights/index.json`` holds it.
    """

    plan: Plan
    revision: str
    entry: dict[str, dict[str, Any]]


def publish(
    source: str | Path,
    repo: str,
    *,
    licence: str | None = None,
    private: bool = False,
    revision: str = "main",
    datasets: Sequence[str] = (),
    base_model: str | None = None,
    index: Path | None = None,
    overwrite: bool = False,
) -> Publication:
    """Publishes a weight file, or a model known by name, in one commit.

    Args:
        repo: OWNER/NAME on the Hub; created if it is not there.
        licence: the Hub's identifier, for a file that states none.
        private: whether a new repository is private.
        revision: the branch, created if it is not there.
        datasets, base_model: identifiers on the Hub, for the card.
        index: a file such as ``weights/index.json`` to write the entry into; created if it is not there.
        overwrite: whether files of the repository, and an entry of the index, may be replaced by others.
    """
    plan = prepare(source, repo, licence=licence, datasets=datasets, base_model=base_model)
    table = None if index is None else _table(index, plan, overwrite)
    sent = send(plan.files, repo, message=f"Publish {plan.name}", private=private, branch=revision, overwrite=overwrite)
    entry = {plan.name: {**plan.entry, "repo": repo, "revision": sent}}
    if index is not None and table is not None:
        table["models"] |= entry
        write_text(index, json.dumps(table, indent=2) + "\n")
    return Publication(plan, sent, entry)


def _table(index: Path, plan: Plan, overwrite: bool) -> dict[str, Any]:
    """The index of a file, before anything is sent; refuses to let a name mean another file."""
    if not index.exists():
        return {"default": None, "models": {}}
    try:
        table = json.loads(index.read_text(encoding="utf-8"))
        known = table["models"].get(plan.name, plan.entry)
        table["default"], known["sha256"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{index} is no index of models ({type(error).__name__}: {error})") from error
    if known["sha256"] != plan.entry["sha256"] and not overwrite:
        raise StoreError(f"{index} knows another {plan.name}: rename the file, or pass --overwrite")
    return dict(table)
