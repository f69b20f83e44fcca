"""Measures search: opening, queries and memory by number of rows; exact against approximate.

    python -m evaluation.reports.search --count 1 --count 100000 --count 1000000

Vectors are synthetic: clusters of random size whose spread falls off like that of embeddings, of --dim values in half
precision, written as parts of ``embed``. The query is a row with noise added. Each measurement is a process of its own.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from hear_audioformer.bulk.parts import Kind, Part
from hear_audioformer.bulk.rows import Rows
from hear_audioformer.search import Index

PART = 50_000  # rows
QUERIES = 20
HEADER = "     rows  manner       open s  one query ms  peak MiB  recall@10"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--count", "counts", multiple=True, type=int, default=(1, 100_000, 1_000_000), show_default=True)
@click.option("--dim", default=256, show_default=True)
@click.option("--table", "single", help="Measures one table, in this process.", hidden=True)
@click.option("--approximate", is_flag=True, hidden=True)
def main(counts: tuple[int, ...], dim: int, single: str | None, approximate: bool) -> None:
    """Times search in tables of so many rows, exact and approximate."""
    if single:
        click.echo(json.dumps(measured(Path(single), approximate)))
        return
    click.echo(HEADER)
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            write_table(Path(folder), count, dim)
            exact = _run(folder, False)
            _show(count, "exact", exact, None)
            if count > 1:
                for manner in ("built", "approximate"):
                    found = _run(folder, True)
                    pairs = zip(exact["rows"], found["rows"], strict=True)
                    recall = float(np.mean([len({*one} & {*other}) / len(one) for one, other in pairs]))
                    _show(count, manner, found, recall)


def _run(folder: str, approximate: bool) -> dict:
    command = [sys.executable, "-m", "evaluation.reports.search", "--table", folder]
    shown = subprocess.run(command + ["--approximate"] * approximate, capture_output=True, text=True, check=True)
    return dict(json.loads(shown.stdout))


def _show(count: int, manner: str, found: dict, recall: float | None) -> None:
    cells = f"{found['open']:7.2f}  {found['query']:12.1f}  {found['peak']:8.0f}"
    click.echo(f"{count:9,}  {manner:11}  {cells}  {'' if recall is None else f'{recall:9.3f}'}")


def measured(table: Path, approximate: bool) -> dict:
    """Seconds to open, median milliseconds of a query, peak memory in MiB, and the rows found for each query."""
    begun = time.perf_counter()
    index = Index(table, approximate=approximate)
    opening = time.perf_counter() - begun
    generator = np.random.default_rng(1)
    rows = np.sort(generator.choice(len(index.table), min(QUERIES, len(index.table)), replace=False))
    queries = index.table.take(rows)
    queries = queries + 0.3 * queries.std() * generator.standard_normal(queries.shape).astype(np.float32)
    times, found = [], []
    for query in queries:
        begun = time.perf_counter()
        hits = index.search_vectors(query[None], 10)[0]
        times.append(1000 * (time.perf_counter() - begun))
        found.append([hit.row for hit in hits])
    return {"open": opening, "query": float(np.median(times)), "peak": peak(), "rows": found}


def peak() -> float:
    """The most memory that this process held, in MiB. ``getrusage`` would count its parent's as well."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def write_table(folder: Path, count: int, dim: int) -> None:
    """Synthetic vectors as parts."""
    (folder / "_run").mkdir()
    generator = np.random.default_rng(0)
    spectrum = (1 + np.arange(dim)) ** -0.5
    centres = generator.standard_normal((max(1, count // 200), dim)) * spectrum
    facts = {"model": "synthetic", "source": "synthetic", "sha256": "0" * 64, "kind": "scenes", "dim": dim,
             "dtype": "float16", "precision": "fp32"}  # fmt: skip
    for first in range(0, count, PART):
        some = min(PART, count - first)
        owners = generator.integers(len(centres), size=some)
        vectors = centres[owners] + 0.7 * spectrum * generator.standard_normal((some, dim)) + 3
        part = Part(folder, folder / "_run", (first, first + some - 1), Kind("parquet", dim, "float16", facts))
        ones = np.ones(some)
        paths = [f"sounds/{number // 1000:04}/{number:07}.flac" for number in range(first, first + some)]
        part.write(Rows(paths, 0 * ones, ones, np.full(some, 16000, np.int32), vectors.astype(np.float16)))
        part.commit()


if __name__ == "__main__":
    main()
