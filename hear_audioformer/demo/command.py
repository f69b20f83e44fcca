"""``hear-audioformer demo``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from ..errors import StoreError

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@click.command()
@click.argument("tables", nargs=-1)
@click.option("--folder", default="", help="Recordings; the page offers to embed them, and opens tables made before.")
@click.option(
    "--model", "models", multiple=True, help="Of --folder: what embeds it, once or twice. Of TABLES: their weights now."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Tables of --folder.  [default: FOLDER-vectors/]")
@click.option("--csv", "values", default="", help="A CSV with a column path; its other columns colour the map.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The default serves this machine alone.")
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option("--max-minutes", type=click.FloatRange(0, min_open=True), default=10, show_default=True)
@click.option("--max-mb", type=click.FloatRange(0, min_open=True), default=100, show_default=True)
@click.option("--workers", type=click.IntRange(min=0), help="Processes that embed --folder.  [default: one a core]")
@click.option("--device", help="cpu, cuda, ...  [default: CUDA if there is any]")
@click.option("--browser/--no-browser", default=False, help="Whether a browser is opened.")
def demo(
    tables: tuple[str, ...],
    folder: str,
    models: tuple[str, ...],
    out: Path | None,
    values: str,
    host: str,
    port: int,
    max_minutes: float,
    max_mb: float,
    workers: int | None,
    device: str | None,
    browser: bool,
) -> None:
    """Serves a page on this machine: drop a sound, see it, hear what sounds like it.

    TABLES are one or two results of embed; two are shown side by side. Nothing is fetched from the net and nothing is
    sent to it. Whoever can reach HOST can use the page: there is no password.

    \b
    Examples:
      hear-audioformer demo vectors/
      hear-audioformer demo msm-mae/ asit/ --csv labels.csv
      hear-audioformer demo --folder recordings/ --model msm-mae-tiny --model asit-tiny
    """
    if bool(tables) == bool(folder):
        raise click.UsageError("name one or two TABLES of embed, or recordings with --folder")
    if find_spec("gradio") is None:
        raise StoreError("the page needs Gradio: pip install 'hear_audioformer[demo]'")
    from .serve import serve
    from .shelf import Shelf
    from .sound import Limits

    if folder:
        shelf = Shelf.of_recordings(folder, models, out, device=device, values=values)
    else:
        shelf = Shelf.of_tables(tables, models, device=device, values=values)
    if host not in LOOPBACK:
        click.echo(f"note: {host} can be reached by other machines, and the page has no password", err=True)
    page = serve(shelf, Limits(max_minutes, max_mb), host=host, port=port, browser=browser, wait=False, workers=workers)
    click.echo(f"{page.local_url}  (Ctrl-C stops it)")
    page.block_thread()
