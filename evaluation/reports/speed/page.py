"""The figures as part of a page, and as a picture."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .cells import Row
from .record import Cell

OURS = ("msm-mae", "asit", "mast", "audioformer", "timestamps")  # how names of this package's runs begin
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def write(path: Path, figures: str) -> None:
    """Puts figures between the marks of a page; a page that is not there is made of them alone."""
    text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to write the figures between")
    path.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")


def sections(cells: Sequence[Cell], notes: Iterable[str] = ()) -> str:
    """Two tables a group, with a column for each length and batch; below, where and when they were measured."""
    parts = []
    for group in dict.fromkeys(cell.group for cell in cells):
        of_group = _sorted(cell for cell in cells if cell.group == group)
        names = list(dict.fromkeys(row.name for cell in of_group for row in cell.rows))
        parts += [f"### {group}", "Clips a second, and the share of the peak:"]
        parts.append(_table(of_group, names, lambda row: f"{row.rate:.3g} ({row.share:.0%})"))
        compared = [
            name for name in names if any(row.name == name != row.against for cell in of_group for row in cell.rows)
        ]
        if compared:
            parts.append("The factor to what each is compared with:")
            against = {row.name: row.against for cell in of_group for row in cell.rows}
            labels = {name: f"{name} to {against[name]}" for name in compared}
            parts.append(_table(of_group, compared, lambda row: f"{row.factor:.2f}x", labels))
    machines = dict.fromkeys(cell.machine for cell in cells)
    rounds = sorted({cell.rounds for cell in cells})
    loads = [cell.load for cell in cells]
    parts.append(
        f"Machine: {'. '.join(machines)}. Medians of {' to '.join(map(str, {rounds[0]: 0, rounds[-1]: 0}))} rounds. "
        f"Load when a cell began: {min(loads):g} to {max(loads):g}."
    )
    return "\n\n".join([*parts, *notes])


def _table(
    cells: Sequence[Cell], names: Sequence[str], text: Callable[[Row], str], labels: dict[str, str] | None = None
) -> str:
    """Markdown: a row a contender, a column a cell."""
    columns = [_title(cell.seconds, cell.batch) for cell in cells]
    lines = [f"| model | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name in names:
        found = [next((row for row in cell.rows if row.name == name), None) for cell in cells]
        values = [text(row) if row else "" for row in found]
        lines.append(f"| {(labels or {}).get(name, name)} | {' | '.join(values)} |")
    return "\n".join(lines)


def _title(seconds: float, batch: int) -> str:
    return f"{seconds:g} s" if batch == 1 else f"{batch} x {seconds:g} s"


def draw(path: Path, cells: Sequence[Cell]) -> None:
    """Bars of clips a second: a row of panels a group, a panel a cell, all from zero. Lone models are left out."""
    from matplotlib.figure import Figure

    compared = [cell for cell in cells if len(cell.rows) > 1] or cells
    groups = list(dict.fromkeys(cell.group for cell in compared))
    names = {group: _names(compared, group) for group in groups}
    wide = max(sum(cell.group == group for cell in compared) for group in groups)
    heights = [1.2 + len(names[group]) for group in groups]
    figure = Figure(figsize=(2.6 + 1.3 * wide, 0.25 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(groups), wide, squeeze=False, gridspec_kw={"height_ratios": heights})
    for row, group in zip(panels, groups, strict=True):
        of_group = _sorted(cell for cell in compared if cell.group == group)
        for panel, cell in zip(row, of_group, strict=False):
            _bars(panel, cell.rows, names[group], _title(cell.seconds, cell.batch))
            if cell is not of_group[0]:
                panel.set_yticklabels([])
        for panel in row[len(of_group) :]:
            panel.set_axis_off()
    figure.suptitle("clips a second", fontsize=9)
    figure.savefig(path, dpi=110)


def _sorted(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: (cell.seconds, cell.batch))


def _names(cells: Sequence[Cell], group: str) -> list[str]:
    return list(dict.fromkeys(row.name for cell in cells if cell.group == group for row in cell.rows))


def _bars(panel: Any, rows: Sequence[Row], names: Sequence[str], title: str) -> None:
    """One cell, the first name on top; what this package runs is dark."""
    rates = {row.name: row.rate for row in rows}
    shown = names[::-1]
    colours = ["#2a6f97" if name.startswith(OURS) else "#b8c4cc" for name in shown]
    bars = panel.barh(shown, [rates.get(name, 0.0) for name in shown], color=colours)
    panel.bar_label(bars, [f"{rates[name]:.3g}" if name in rates else "" for name in shown], padding=2, fontsize=6)
    panel.margins(x=0.35)
    panel.set_xlim(left=0)
    panel.set_xticks([])
    panel.tick_params(labelsize=6)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    panel.set_title(title, fontsize=7, loc="left")
