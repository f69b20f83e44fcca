"""``hear-audioformer plot``: spectrogram, similarity, timeline, map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..assignments import assignments
from .places import refuse_existing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = (".png", ".svg", ".pdf")
METHODS = ("umap", "pca")  # a copy of projection.METHODS, whose module needs numpy


@click.group()
def plot() -> None:
    """Draws a recording, or a table of vectors."""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every picture."""
    command = click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")(command)
    return click.option(
        "-o", "--out", required=True, type=click.Path(path_type=Path), help="NAME.png, NAME.svg or NAME.pdf."
    )(command)


def _modelled(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of pictures that a model makes."""
    command = click.option(
        "--option", "pairs", multiple=True, metavar="KEY=VALUE", help="Of load_model, such as layers=[6,12]."
    )(command)
    return click.option("--model", default="", help="Name, file, or hf:// address.  [default: the default model]")(
        command
    )


def _save(figure: Figure, out: Path) -> None:
    from ..plot.look import save

    save(figure, out)
    click.echo(f"-> {out}")


@plot.command()
@click.argument("recording")
@click.option("--model", default="", help="Whose front end to draw.  [default: 128 mel bands at the file's own rate]")
@_shared
def spectrogram(recording: str, model: str, out: Path, overwrite: bool) -> None:
    """The log-mel spectrogram of RECORDING."""
    refuse_existing(out, FORMS, overwrite)
    from ..plot.spectrogram import spectrogram as draw

    _save(draw(recording, model), out)


@plot.command()
@click.argument("recording")
@_modelled
@_shared
def similarity(recording: str, model: str, pairs: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """Each moment of RECORDING against each other, by the cosine similarity of its embeddings.

    Blocks along the diagonal are sections, stripes beside it are repetitions.
    """
    refuse_existing(out, FORMS, overwrite)
    from ..plot.similarity import similarity as draw

    _save(draw(recording, model, **dict(assignments(pairs))), out)


@plot.command()
@click.argument("recording")
@_modelled
@_shared
def timeline(recording: str, model: str, pairs: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """The moments of RECORDING as colours, similar ones alike, and a curve that peaks where the sound changes."""
    refuse_existing(out, FORMS, overwrite)
    from ..plot.timeline import timeline as draw

    _save(draw(recording, model, **dict(assignments(pairs))), out)


@plot.command("map")
@click.argument("table")
@click.option("--color", default="", metavar="COLUMN", help="Of --csv, or folder, offset or seconds of TABLE.")
@click.option("--csv", "values", default="", help="A CSV with a column path, as of classify or cluster.")
@click.option("--method", type=click.Choice(METHODS), help="[default: umap where it is installed]")
@click.option("--seed", default=0, show_default=True)
@_shared
def map_(table: str, color: str, values: str, method: str | None, seed: int, out: Path, overwrite: bool) -> None:
    """TABLE, a result of embed, in two dimensions: rows that sound alike lie side by side.

    \b
    Examples:
      hear-audioformer plot map vectors/ --color folder -o map.png
      hear-audioformer plot map vectors/ --csv clusters.csv --color cluster -o map.svg
    """
    refuse_existing(out, FORMS, overwrite)
    if values and not color:
        raise click.UsageError("--csv needs --color, the column to colour by")
    from ..plot.map import map_of

    _save(map_of(table, color=color, table_of_values=values, method=method, seed=seed), out)
