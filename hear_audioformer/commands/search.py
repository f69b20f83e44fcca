"""``hear-audioformer search``."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..search import Hit, Index

COLUMNS = ("query", "rank", "score", "row", "path", "offset", "seconds")


@click.command()
@click.argument("table")
@click.argument("queries", nargs=-1)
@click.option("--row", "rows", type=click.IntRange(min=0), multiple=True, help="A row of TABLE as the query; no model.")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Rows to find.")
@click.option("--exact/--approximate", default=None, help="[default: approximate beyond 100 000 rows]")
@click.option("--json", "form", flag_value="json", help="Prints JSON.")
@click.option("--csv", "form", flag_value="csv", help="Prints CSV.")
@click.option("--model", default="", help="Where the table's weights are now.  [default: where TABLE says]")
@click.option("--device", help="cpu, cuda, ...  [default: CUDA if there is any]")
def search(
    table: str,
    queries: tuple[str, ...],
    rows: tuple[int, ...],
    k: int,
    exact: bool | None,
    form: str | None,
    model: str,
    device: str | None,
) -> None:
    """Finds the rows of TABLE, a result of embed, that sound like each recording of QUERIES.

    A query is embedded by the weights and options that made TABLE. The score is the cosine similarity of vectors that
    are standardised by TABLE: 1 is equal, 0 as alike as two of its rows are on average.

    \b
    Examples:
      hear-audioformer search vectors/ query.flac
      hear-audioformer search frames.parquet horn.wav -k 20 --csv
      hear-audioformer search vectors/ --row 12
    """
    from ..search import Index

    if not queries and not rows:
        raise click.UsageError("name recordings to search by, or rows of the table with --row")
    begun = time.perf_counter()
    index = Index(table, approximate=None if exact is None else not exact, model=model, device=device)
    opening = time.perf_counter() - begun
    begun = time.perf_counter()
    vectors, seconds = index.queries(queries) if queries else (None, [])
    embedding = time.perf_counter() - begun
    begun = time.perf_counter()
    found = [] if vectors is None else index.search_vectors(vectors, k, seconds)
    found += index.search_rows(rows, k) if rows else []
    searching = time.perf_counter() - begun
    named = [*queries, *(f"row {row}" for row in rows)]
    click.echo(_text(index, named, found, form), nl=False)
    if index.note:
        click.echo(f"note: {index.note}", err=True)
    manner = "exact" if index.exact else "approximate"
    parts = [f"opened in {opening:.2f} s"] + [f"{len(queries)} embedded in {embedding:.2f} s"] * bool(queries)
    click.echo(f"{', '.join(parts)}, {len(index.table):,} rows searched in {searching:.3f} s ({manner})", err=True)


def _text(index: Index, queries: list[str], found: list[list[Hit]], form: str | None) -> str:
    rows = [{"query": query, **vars(hit)} for query, hits in zip(queries, found, strict=True) for hit in hits]
    if form == "json":
        return json.dumps({"facts": index.table.facts, "hits": rows}, indent=1, ensure_ascii=False) + "\n"
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
    facts = index.table.facts
    lines = [f"{len(index.table):,} {facts['kind']} by {facts['model']} ({facts['sha256'][:12]})"]
    for query, hits in zip(queries, found, strict=True):
        lines += ["", query, *(_line(hit, index.table.kind) for hit in hits)]
    return "\n".join(lines) + "\n"


def _line(hit: Hit, kind: str) -> str:
    place = "" if kind == "scenes" else f"  at {hit.offset:.2f} s"
    return f"{hit.rank:4}  {hit.score:6.3f}  row {hit.row:<8} {hit.path}{place}"
