"""The listening page: ten short sounds, and the three nearest of each by every model.

    python -m evaluation.reports.listening -o docs/listening

The vectors are of the Ogg files that the page plays. Nearest is as in ``hear-audioformer search``: cosine similarity of
vectors that are standardised over the ten.
"""

import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import click
import numpy as np
import soundfile

import hear_audioformer
from hear_audioformer.files import write_text

from .listening_sounds import RATE, SOUNDS, Sound

NEAREST = 3
PEAK = 0.7
BLOCK = 4096  # samples that libsndfile's Vorbis encoder gets at a time
STYLE = """
body {font: 16px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222}
section {border-top: 1px solid #ddd; padding: 0.6rem 0 1rem}
h2 {font-size: 1.1rem; margin: 0.4rem 0} small {color: #666; font-weight: normal; margin-left: 0.5rem}
table {border-collapse: collapse; margin-top: 0.5rem; width: 100%; table-layout: fixed}
td, th {text-align: left; padding: 0.2rem 0.6rem 0.2rem 0; font-weight: normal; border-top: 1px solid #eee}
th {width: 9.5rem} td {white-space: nowrap; font-size: 0.9rem}
button {font: inherit; border: 1px solid #bbb; border-radius: 6px; background: #f6f6f6; padding: 0 0.5rem}
b {font-variant-numeric: tabular-nums; font-weight: normal; color: #666}
"""
Found = list[list[tuple[int, float]]]  # for each sound the numbers and scores of the nearest


def write_sound(sound: Sound, path: Path) -> None:
    """Writes a sound as Ogg Vorbis."""
    samples = sound.make()
    samples = (PEAK * samples / np.abs(samples).max()).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(samples), BLOCK):
            file.write(samples[start : start + BLOCK])


def nearest(paths: Sequence[Path], model: str) -> Found:
    """For each file the others that are most like it, best first."""
    with tempfile.TemporaryDirectory() as folder:
        table = f"{folder}/table.npz"
        hear_audioformer.embed_files(list(paths), table, model, workers=0, progress=False)
        hits = hear_audioformer.Index(table).search_rows(range(len(paths)), NEAREST)
    return [[(hit.row, hit.score) for hit in some] for some in hits]


def page(sounds: Sequence[Sound], found: dict[str, Found], command: str) -> str:
    """The page as HTML; it needs nothing from the net."""
    body = "".join(_section(number, sounds, found) for number in range(len(sounds)))
    head = f'<meta charset="utf-8"><title>Ten sounds</title><style>{STYLE}</style>'
    intro = (
        f"Each sound with the {NEAREST} of the others that each model finds nearest, and their cosine similarity. "
        f"Made by <code>{escape(command)}</code>."
    )
    main = f"<h1>Ten sounds</h1><p>{intro}</p>\n{body}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{main}</body></html>\n'


def _section(number: int, sounds: Sequence[Sound], found: dict[str, Found]) -> str:
    sound = sounds[number]
    rows = "".join(
        f"<tr><th>{escape(model)}</th>{''.join(_cell(sounds[row], score) for row, score in some[number])}</tr>\n"
        for model, some in found.items()
    )
    return (
        f'<section id="{sound.name}"><h2>{escape(sound.title)}<small>{escape(sound.origin)}</small></h2>\n'
        f'<audio id="play-{sound.name}" controls preload="metadata" src="{sound.name}.ogg"></audio>\n'
        f"<table>{rows}</table></section>\n"
    )


def _cell(sound: Sound, score: float) -> str:
    play = f"document.getElementById('play-{sound.name}').play()"
    return f'<td><button onclick="{play}">&#9654; {escape(sound.title)}</button> <b>{score:.2f}</b></td>'


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("docs/listening"), show_default=True)
@click.option("--model", "models", multiple=True, help="Repeat for more.  [default: all bundled models]")
def main(out: Path, models: tuple[str, ...]) -> None:
    """Renders ten sounds (needs espeak-ng) and writes a page with what each model finds nearest to each."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{sound.name}.ogg" for sound in SOUNDS]
    for sound, path in zip(SOUNDS, paths, strict=True):
        write_sound(sound, path)
    names = models or tuple(hear_audioformer.list_models())
    found = {Path(name).stem: nearest(paths, name) for name in names}
    write_text(out / "index.html", page(SOUNDS, found, "python -m evaluation.reports.listening"))
    pairs = {name: sum(some[number][0][0] == number ^ 1 for number in range(len(some))) for name, some in found.items()}
    for name, count in pairs.items():
        click.echo(f"{name}: the other of its pair is nearest for {count} of {len(SOUNDS)} sounds")
    click.echo(f"{out / 'index.html'}: {sum(path.stat().st_size for path in out.iterdir()) / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()
