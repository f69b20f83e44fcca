"""``hear-audioformer embed``."""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..assignments import assignments
from .job import DTYPES, ENGINES

if TYPE_CHECKING:
    from .summary import Summary

PRECISIONS = ("auto", "fp32", "bf16")  # a copy of embedder.Precision, whose module needs torch
STOPPED = 130  # exit code, as a shell gives it after Ctrl-C


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option("-o", "--out", required=True, help="Result: NAME/ for parts, or NAME.npz, NAME.parquet, NAME.zarr.")
@click.option("--model", default="", help="Name, file, or hf://OWNER/REPO@REVISION/FILE.  [default: the default model]")
@click.option("--timestamps", is_flag=True, help="A row for each --hop-ms instead of one a file.")
@click.option("--segment", type=float, metavar="SECONDS", help="A row for each stretch instead of one a file.")
@click.option("--hop-ms", type=float, help="Step between timestamps.  [default: the longest up to 50 ms]")
@click.option("--pool", help="Frames -> scene: mean, mean+std, or what else the model offers.  [default: its own]")
@click.option(
    "--option", "pairs", multiple=True, metavar="KEY=VALUE", help="Another option of load_model, such as layers=[6,12]."
)
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="Of the embeddings.")
@click.option("--device", help="cpu, cuda, cuda:1, ...  [default: all CUDA devices if there are any]")
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True, help="auto: bf16 on CUDA."
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Windows in one forward; bounds the memory.")
@click.option("--engine", type=click.Choice(ENGINES), default="local", show_default=True, help="ray: on a cluster.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes, 0 for none but this one.  [default: one a GPU, or else one a core]",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of each process.")
@click.option("--path-column", default="path", show_default=True, help="Of CSV, JSONL and Parquet inputs.")
@click.option("--shard", metavar="I/N", help="Only a share of the files, by a hash of the path: one for each machine.")
@click.option("--append", is_flag=True, help="Add files that NAME/ does not hold, and try those again that failed.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def embed(
    inputs: tuple[str, ...],
    out: str,
    pairs: tuple[str, ...],
    hop_ms: float | None,
    pool: str | None,
    precision: str,
    batch_size: int | None,
    **run: Any,
) -> None:
    """Embeds recordings into a table.

    INPUTS are files, folders, globs, manifests (.csv, .jsonl, .parquet with a column of paths) and .tar files of
    recordings; on this machine, or URLs such as s3://BUCKET/FOLDER. Any format that libsndfile reads, any rate, any
    channels (averaged).

    A row holds path, offset, seconds, sample_rate and embedding; rows stand in the order of the files. A bad file stops
    nothing: the table of errors names it, NAME/_run/errors.csv or OUT.errors.csv. A run that was stopped, in whatever
    way, goes on when the same command is given again.

    \b
    Examples:
      hear-audioformer embed recordings/ -o vectors.npz
      hear-audioformer embed recordings/ more/*.mp3 list.csv -o vectors/ --append
      hear-audioformer embed s3://bucket/recordings -o vectors/ --segment 10 --dtype float16
      hear-audioformer embed a.wav b.flac -o frames.parquet --timestamps --hop-ms 20

    Exit codes: 0 all files have a row, 1 some have none, 2 nothing done, 130 stopped.
    """
    from .run import embed_files

    if hop_ms is not None and not run["timestamps"]:
        raise ValueError("--hop-ms is the step between timestamps: pass --timestamps with it")
    if pool is not None and run["timestamps"]:
        raise ValueError("--pool makes one embedding of a file's frames: leave it out with --timestamps")
    options = {"hop_ms": hop_ms, "pool": pool, "batch_size": batch_size} | dict(assignments(pairs))
    options = {name: value for name, value in options.items() if value is not None}
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        summary = embed_files(inputs, out, precision=precision, **options, **run)
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on", err=True)
        click.get_current_context().exit(STOPPED)
    finally:
        signal.signal(signal.SIGTERM, before)
    _report(summary)
    click.get_current_context().exit(0 if summary.files == summary.total else 1 if summary.rows else 2)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _report(summary: Summary) -> None:
    """What became of the files."""
    if summary.rows:
        rows = f" ({summary.rows:,} rows)" if summary.rows != summary.files else ""
        click.echo(f"{summary.files:,} of {summary.total:,} files -> {summary.out}{rows}")
    for trouble in summary.troubles:
        click.echo(f"{trouble.path}: {trouble.error}", err=True)
    _more(summary.missing - len(summary.troubles), "without a row")
    for path in summary.changed:
        click.echo(f"{path}: has changed since it was embedded; its row is of what it was", err=True)
    _more(summary.changes - len(summary.changed), "that have changed")
    if summary.errors:
        click.echo(f"table of errors: {summary.errors}", err=True)
    if not summary.rows:
        click.echo("no file has a row: nothing is written", err=True)


def _more(count: int, what: str) -> None:
    if count > 0:
        click.echo(f"... and {count:,} more {what}", err=True)
