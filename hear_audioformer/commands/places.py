"""Where commands write."""

from pathlib import Path

from ..errors import StoreError


def refuse_existing(out: Path, suffix: str | tuple[str, ...], overwrite: bool) -> None:
    """Refuses a result's name that is of another form or taken, before anything is computed."""
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    if out.suffix.lower() not in suffixes:
        raise StoreError(f"{out}: the name must end in {' or '.join(suffixes)}")
    if out.exists() and not overwrite:
        raise StoreError(f"{out} exists; choose another name, or pass --overwrite")
