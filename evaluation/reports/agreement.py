"""Compares the rankings of models by the probe and by HEAR's kit, task by task.

    python -m evaluation.reports.agreement results runs/heareval/table-default-8.json

reads the results of ``evaluation.probe`` and ``evaluation.heareval`` for the same models on the same tasks. The report
compares the order of models, not the scores, as heads and sometimes metrics differ.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..tasks.write import VERSION
from . import compare
from .compare import Result, ResultsError


@dataclass(frozen=True)
class Agreement:
    """The models of one task: counts of pairs in the same order, over all pairs and over significant ones."""

    task: str
    search: str
    models: list[str]
    kit: list[float]
    probe: list[float]
    pairs: tuple[int, int]  # in the same order, all
    sure: tuple[int, int]  # of pairs whose difference is significant

    @property
    def kendall(self) -> float:
        """Kendall's tau-b."""
        signs = [[np.sign(a - b) for a, b in combinations(scores, 2)] for scores in (self.kit, self.probe)]
        return _cosine(np.array(signs[0]), np.array(signs[1]))

    @property
    def spearman(self) -> float:
        """Spearman's rho."""
        ranks = [_ranks(scores) for scores in (self.kit, self.probe)]
        return _cosine(*(rank - rank.mean() for rank in ranks))


def agreements(results: Sequence[Result], tables: Sequence[dict[str, Any]]) -> Iterator[Agreement]:
    """An agreement for each task and search for which both tools have at least two models."""
    for table in tables:
        for folder, entry in table["tasks"].items():
            name = folder.removesuffix(f"-{VERSION}-full")
            kit = {_key(*model.split(" ", 1)): row["scores"][entry["metric"]] for model, row in entry["models"].items()}
            matching = {
                key_of(result): result for result in results if name in result.tasks and not result.content["options"]
            }
            if len(shared := sorted(kit.keys() & matching.keys())) > 1:
                yield _agreement(name, table["search"], [matching[key] for key in shared], [kit[key] for key in shared])


def _agreement(task: str, search: str, results: list[Result], kit: list[float]) -> Agreement:
    probe = [result.tasks[task]["value"] for result in results]
    alike, sure = [], []
    for i, j in combinations(range(len(results)), 2):
        alike.append(np.sign(kit[i] - kit[j]) == np.sign(probe[i] - probe[j]))
        interval = compare.difference(results[i], results[j], task)
        if interval.low > 0 or interval.high < 0:
            sure.append(alike[-1])
    names = [result.label for result in results]
    return Agreement(task, search, names, kit, probe, (sum(alike), len(alike)), (sum(sure), len(sure)))


def key_of(result: Result) -> tuple[str, str]:
    """The key of a model in both tools: its module, and the first digits of its weight file's hash."""
    return str(result.content["module"]), (result.content["model_sha256"] or "")[:8]


def _key(module: str, name: str) -> tuple[str, str]:
    """The same key from the kit's table, which has the weight file's name and hash."""
    return module, "" if name == "default" else name.rsplit("-", 1)[-1]


def _ranks(scores: Sequence[float]) -> np.ndarray:
    """Ranks from 1 on; equal scores share their mean rank."""
    values = np.asarray(scores)
    return (values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) + 1) / 2


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float("nan")


def page(agreements: Sequence[Agreement]) -> str:
    """Markdown tables: one of scores in percent with a row a model, one of agreement with a row a task."""
    lines = ["| task | search of the kit | model | kit | probe |", "|---|---|---|---|---|"]
    for agreement in agreements:
        for name, kit, probe in sorted(
            zip(agreement.models, agreement.kit, agreement.probe, strict=True), key=lambda row: -row[1]
        ):
            lines.append(f"| {agreement.task} | {agreement.search} | {name} | {100 * kit:.1f} | {100 * probe:.1f} |")
    lines += [
        "",
        "| task | search | Kendall | Spearman | pairs in the same order | of sure pairs |",
        "|---|---|---|---|---|---|",
    ]
    for agreement in agreements:
        shares = " | ".join(f"{alike} of {total}" for alike, total in (agreement.pairs, agreement.sure))
        correlations = f"{agreement.kendall:.2f} | {agreement.spearman:.2f}"
        lines.append(f"| {agreement.task} | {agreement.search} | {correlations} | {shares} |")
    return "\n".join([*lines, "", "Sure: the probe's 95 % interval of the difference is beyond zero."])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("results", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("tables", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(results: Path, tables: tuple[Path, ...]) -> None:
    """Compares the order of models by evaluation.probe with that by HEAR's kit, task by task.

    RESULTS is the folder that evaluation.probe wrote (--out), TABLES are table-*.json of evaluation.heareval. Both must
    have scored at least two models on a common task.

    \b
    Example:
      python -m evaluation.reports.agreement results runs/heareval/table-default-8.json
    """
    try:
        compared = list(agreements(compare.read(results), [json.loads(table.read_text()) for table in tables]))
    except ResultsError as error:
        raise click.ClickException(str(error)) from error
    if not compared:
        raise click.ClickException("no task has two models that both the scorer and the kit have seen")
    click.echo(page(compared))


if __name__ == "__main__":
    main()
