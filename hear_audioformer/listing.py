"""The table that ``hear-audioformer list`` prints. It needs no torch."""

from collections.abc import Iterator, Sequence
from typing import Any

from .index import PARTS, Entry, Index, bundle

HEADS = ("name", "method", "MB", "parameters", "rate", "scene", "frame", "hop, ms", "clips/s", "other hops", "where")
NOTES = """\
scene: values of one vector a recording; twice those of a frame where it holds mean and deviation over time.
frame: values of a timestamp's vector, one each hop. --hop-ms asks for another: half the hop, twice the work.
clips/s: clips of 10 s that one CPU second embeds, one at a time, one thread of an AMD EPYC (Zen 4)."""


def lines(table: Index, method: str | None = None) -> Iterator[str]:
    """Models, then parts of models, with a line of heads each."""
    chosen = {name: entry for name, entry in table.models.items() if method in (None, entry.method)}
    models = {name: entry for name, entry in chosen.items() if entry.method not in PARTS}
    parts = {name: entry for name, entry in chosen.items() if entry.method in PARTS}
    if models:
        yield from _aligned([HEADS, *(_row(name, entry, table) for name, entry in models.items())])
        yield from ("", NOTES)
    if parts:
        yield from ("", "Parts of models, which embed nothing by themselves:")
        yield from _aligned([_row(name, entry, table) for name, entry in parts.items()])


def _row(name: str, entry: Entry, table: Index) -> Sequence[str]:
    about: dict[str, Any] = entry.about or {}
    where = "bundled" if (bundle() / entry.file).is_file() else f"hf://{entry.repo}@{entry.revision}"
    millions = f"{about['parameters'] / 1e6:.1f} M" if about else "-"
    speed = f"{about['clips_a_second']:.1f}" if "clips_a_second" in about else "-"
    others = " ".join(f"{hop:g}" for hop in about.get("hops", []) if hop != about["hop_ms"])
    hop = f"{about['hop_ms']:g}" if "hop_ms" in about else "-"
    cells = [name, entry.method, f"{entry.size / 1e6:.1f}", millions]
    cells += [str(about.get(key, "-")) for key in ("sample_rate", "scene", "frame")]
    return [*cells, hop, speed, others or "-", where + ", default" * (name == table.default)]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as text, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if 2 <= place <= 8 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
