"""``hear-audioformer cluster``."""

from __future__ import annotations

from pathlib import Path

import click

from .places import refuse_existing


@click.command()
@click.argument("table")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Result: NAME.csv.")
@click.option("-n", "count", type=click.IntRange(min=1), help="Clusters.  [default: 2 to 20, by silhouette]")
@click.option("--seed", default=0, show_default=True, help="Of the sample and of the first centres.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def cluster(table: str, out: Path, count: int | None, seed: int, overwrite: bool) -> None:
    """Groups the rows of TABLE, a result of embed, by k-means.

    OUT holds path, offset, seconds, cluster and similarity (to the cluster's centre) of each row. The sizes and the
    most central rows of the clusters are printed. Clusters are numbered from the largest on.

    \b
    Example:
      hear-audioformer cluster vectors/ -o clusters.csv -n 8
    """
    refuse_existing(out, ".csv", overwrite)
    from ..cluster import cluster_table

    found = cluster_table(table, count, seed=seed)
    if found.silhouettes:
        tried = ", ".join(f"{number}: {value:.3f}" for number, value in found.silhouettes.items())
        click.echo(f"mean silhouette by number of clusters  {tried}")
    for one in found.clusters:
        click.echo(f"cluster {one.number}: {one.size:,} rows")
        for place in one.central:
            where = "" if found.table.kind == "scenes" else f"  at {place.offset:.2f} s"
            click.echo(f"    {place.path}{where}")
    found.write(out)
    click.echo(f"{len(found.owners):,} rows -> {out}")
