"""What all pictures have in common."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StoreError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAT = "magma"
QUIET = "#555555"
LINE = "#1f4e79"
DPI = 150
COLOURS = (  # Okabe and Ito's first, which colour-blind readers can tell apart
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d1f", "#000000", "#999999", "#7b3294"),
    *("#1b7837", "#b2182b", "#4575b4", "#a6761d", "#66c2a5", "#e78ac3", "#8da0cb", "#a6d854", "#bf812d", "#35978f"),
)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches, that lays itself out."""
    if find_spec("matplotlib") is None:
        raise StoreError("pictures need matplotlib: pip install 'hear_audioformer[plot]'")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Any) -> None:
    """Takes away what says nothing."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    axes.tick_params(colors=QUIET, labelsize=8)
    axes.xaxis.label.set_color(QUIET)
    axes.yaxis.label.set_color(QUIET)


def title(axes: Any, name: str, detail: str = "") -> None:
    """A name on the left, and in small letters what made the picture on the right."""
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
    axes.set_title(detail, loc="right", fontsize=8, color=QUIET)


def time_axis(axes: Any, seconds: float, label: bool = True) -> None:
    """An axis of time, in seconds, or in minutes and seconds where it is long."""
    axes.set_xlim(0, seconds)
    if seconds > 120:
        axes.xaxis.set_major_formatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02}")
    if label:
        axes.set_xlabel("time (min:s)" if seconds > 120 else "time (s)", fontsize=8)


def save(figure: "Figure", out: str | Path) -> None:
    """Writes a figure in the form that its name says: .png, .svg or .pdf."""
    from ..files import atomic_write

    with atomic_write(out) as temporary, open(temporary, "wb") as file:
        figure.savefig(file, format=Path(out).suffix[1:].lower(), dpi=DPI, facecolor="white")
