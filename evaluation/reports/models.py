"""The table of models beside baselines: size, values, speed, score. The README's is made by it.

    python -m evaluation.reports.models

Sizes come from the index, scores from the generated page of results, speed is measured here, in seconds of processor
time, so that other work on the machine changes it little. ``--write`` puts the speeds into the index, where
``hear-audioformer list`` finds them.
"""

import importlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

from hear_audioformer.files import write_text
from hear_audioformer.index import PARTS, bundle, index

GENERATED = Path(__file__).parents[2] / "docs" / "generated"
RESULTS = (GENERATED / "results.md", GENERATED / "fusion.md")
BASELINES = {"handmade": "hand-made statistics", "logmel": "log-mel statistics", "naive": "HEAR's naive baseline"}
SECONDS = 10
HEADS = (
    "model",
    "MB",
    "parameters",
    "values: recording, timestamp",
    "hop, ms",
    "10-s clips a CPU second",
    "suite score",
)
SPEED = HEADS.index("10-s clips a CPU second")


def scores(pages: Sequence[Path]) -> dict[str, str]:
    """Row -> mean with its interval, from the first table of the first page that has it."""
    means: dict[str, str] = {}
    for page in pages:  # of evaluation.reports.results
        for name, mean in re.findall(r"^\| (\S[^|]*?) \| (\d+\.\d ± \d+\.\d) \|", page.read_text(), re.MULTILINE):
            means.setdefault(name, mean)
    return means


def speed(module: Any, source: str, rounds: int) -> float:
    """Clips of ten seconds that one CPU second embeds, one at a time on one thread; the best round counts."""
    model = module.load_model(source)
    clip = torch.randn(1, SECONDS * model.sample_rate, generator=torch.Generator().manual_seed(0)) * 0.1
    best = float("inf")
    for _ in range(rounds + 1):  # the first one warms up
        began = time.process_time()
        module.get_scene_embeddings(clip, model)
        best = min(best, time.process_time() - began)
    return 1 / best


def rows(rounds: int, pages: Sequence[Path]) -> list[list[str]]:
    """A row a model and a baseline, the default model first; without rounds no speed."""
    table, means = index(), scores(pages)
    package = importlib.import_module("hear_audioformer")
    made = []
    for name, entry in sorted(table.models.items(), key=lambda item: item[0] != table.default):
        if entry.method in PARTS:
            continue
        about = entry.about or {}
        card = bundle() / f"{name}.md"
        title = f"[`{name}`](weights/{name}.md)" if card.is_file() else f"`{name}`"
        title += ", the default" if name == table.default else ""
        cells = [title, f"{entry.size / 1e6:.1f}", f"{about['parameters'] / 1e6:.1f} M"]
        cells += [f"{about['scene']}, {about['frame']}", f"{about['hop_ms']:g}"]
        made.append([*cells, _speed(package, name, rounds), means.get(name, "not yet")])
    for short, title in BASELINES.items():
        module = importlib.import_module(f"evaluation.baselines.{short}")
        model = module.load_model("")
        sizes = f"{model.scene_embedding_size}, {model.timestamp_embedding_size}"
        made.append([title, "-", "-", sizes, "-", _speed(module, "", rounds), means.get(short, "not yet")])
    return made


def _speed(module: Any, source: str, rounds: int) -> str:
    return f"{speed(module, source, rounds):.1f}" if rounds else "-"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(min=0), help="Of the speed; 0 leaves it out."
)
@click.option(
    "--results",
    default=RESULTS,
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Page of evaluation.reports.results; repeatable, the first that has a model counts.",
)
@click.option("--write", is_flag=True, help="Put the speeds into weights/index.json, for `hear-audioformer list`.")
def main(rounds: int, results: tuple[Path, ...], write: bool) -> None:
    """Prints the table of models beside baselines in Markdown: size, values, speed, score.

    Speed is of one thread of this machine. --write is for the machine that `hear-audioformer list` names.
    """
    torch.set_num_threads(1)
    click.echo(f"| {' | '.join(HEADS)} |\n|---|{'---:|' * (len(HEADS) - 1)}")
    made = rows(rounds, results)
    for row in made:
        click.echo(f"| {' | '.join(row)} |")
    if write and rounds:
        write_speeds(bundle() / "index.json", made)


def write_speeds(path: Path, made: list[list[str]]) -> None:
    """Puts the speeds of a table's rows into an index."""
    content = json.loads(path.read_text())
    speeds = {row[0].partition("`")[2].partition("`")[0]: row[SPEED] for row in made}
    for name, entry in content["models"].items():
        if name in speeds:
            entry["about"]["clips_a_second"] = float(speeds[name])
    write_text(path, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
