"""The figures as part of a page, and as a picture."""

from collections.abc import Sequence
from pathlib import Path

from .cells import Row

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def write(path: Path, figures: str) -> None:
    """Puts figures between the marks of a page; a page that is not there is made of them alone."""
    text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to write the figures between")
    path.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Bars of clips a second, a panel for each length and batch, on a logarithmic axis."""
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys((row.seconds, row.batch) for row in rows))
    figure = Figure(figsize=(9, 0.6 + sum(0.5 + 0.24 * _count(rows, cell) for cell in cells)), layout="constrained")
    heights = [2 + _count(rows, cell) for cell in cells]
    panels = figure.subplots(len(cells), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for panel, (seconds, batch) in zip(panels, cells, strict=True):
        shown = [row for row in rows if (row.seconds, row.batch) == (seconds, batch)][::-1]
        bars = panel.barh([row.name for row in shown], [row.rate for row in shown])
        panel.bar_label(bars, [f"{row.rate:.3g}" for row in shown], padding=3, fontsize=7)
        panel.set_xscale("log")
        panel.margins(x=0.15)
        panel.tick_params(labelsize=7)
        panel.set_title(f"clips of {seconds:g} s, batch {batch}: clips a second", fontsize=8, loc="left")
    figure.savefig(path, dpi=110)


def _count(rows: Sequence[Row], cell: tuple[float, int]) -> int:
    return sum((row.seconds, row.batch) == cell for row in rows)
