"""Rows of the page as HTML, each with a player whose sound is inside the page: no folder is served."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import PurePath

from .views import Neighbour

CSS = """
.hear-list {display: flex; flex-direction: column; gap: 10px}
.hear-card {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 8px 12px}
.hear-card.common {border-left: 4px solid #009e73}
.hear-top {display: flex; gap: 8px; align-items: baseline; min-width: 0}
.hear-rank {font-weight: 700; width: 1.4em; flex: none}
.hear-name {font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0}
.hear-where {opacity: 0.7; font-size: 85%; flex: none}
.hear-score {margin-left: auto; font-variant-numeric: tabular-nums; flex: none}
.hear-card audio {width: 100%; height: 34px; margin-top: 6px}
.hear-problem, .hear-status.bad {color: #b2182b}
.hear-status {min-height: 1.5em}
.hear-picture:has([aria-label="Empty value"]) {display: none}
.hear-quiet {opacity: 0.75; margin: 2px 0 8px}
"""


def cards(neighbours: Sequence[Neighbour], common: set[str] | None = None) -> str:
    """Neighbours, best first; those that another model found too are marked."""
    return f'<div class="hear-list">{"".join(_card(one, common or set()) for one in neighbours)}</div>'


def quiet(text: str) -> str:
    """A remark."""
    return f'<div class="hear-quiet">{escape(text)}</div>'


def status(text: str, bad: bool = False) -> str:
    """The line that says what happened."""
    return f'<div class="hear-status{" bad" if bad else ""}" role="status">{escape(text)}</div>'


def _card(neighbour: Neighbour, common: set[str]) -> str:
    path = PurePath(neighbour.path)
    where = f"{path.parent.name}, {neighbour.start:.1f} s" if neighbour.start else path.parent.name
    if neighbour.problem:
        player = f'<div class="hear-problem">{escape(neighbour.problem)}</div>'
    else:
        sound = b64encode(neighbour.sound).decode()
        player = f'<audio controls preload="metadata" src="data:audio/flac;base64,{sound}"></audio>'
    rank = f'<span class="hear-rank">{neighbour.rank}</span>' if neighbour.rank else ""
    score = f'<span class="hear-score">{neighbour.score:.2f}</span>' if neighbour.rank else ""
    return (
        f'<div class="hear-card{" common" if neighbour.path in common else ""}"><div class="hear-top">{rank}'
        f'<span class="hear-name" title="{escape(neighbour.path)}">{escape(path.name)}</span>'
        f'<span class="hear-where">{escape(where)}</span>{score}</div>{player}</div>'
    )
