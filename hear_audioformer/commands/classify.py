"""``hear-audioformer classify``."""

from __future__ import annotations

from pathlib import Path

import click

from .places import refuse_existing


@click.command()
@click.argument("table")
@click.option("--examples", required=True, help="A folder with a folder for each label, or a CSV of path and label.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Result: NAME.csv.")
@click.option("--all", "every", is_flag=True, help="A column with the probability of each label.")
@click.option("--model", default="", help="Where the table's weights are now.  [default: where TABLE says]")
@click.option("--device", help="cpu, cuda, ...  [default: CUDA if there is any]")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def classify(
    table: str, examples: str, out: Path, every: bool, model: str, device: str | None, overwrite: bool
) -> None:
    """Labels the rows of TABLE, a result of embed, from a few labelled recordings.

    The weights and options that made TABLE embed the examples; a linear head learns their labels. Its cross-validated
    accuracy is printed first: each recording is labelled by a head that did not see it. A CSV may have a column group:
    recordings of one group (speaker, session) are kept together for this. OUT then holds path, offset,
    seconds, label and probability of each row.

    \b
    Examples:
      hear-audioformer classify vectors/ --examples examples/ -o labels.csv
      hear-audioformer classify stretches/ --examples examples.csv -o labels.csv --all
    """
    refuse_existing(out, ".csv", overwrite)
    from ..classify import Classifier
    from ..examples import find_examples

    classifier = Classifier.of(table, find_examples(examples), model=model, device=device)
    for path, error in classifier.errors:
        click.echo(f"{path}: {error}", err=True)
    click.echo(str(classifier.report))
    counts = classifier.write(out, every=every)
    click.echo(f"{sum(counts.values()):,} rows -> {out}")
    for label in classifier.labels:
        click.echo(f"  {label}: {counts[label]:,}")
