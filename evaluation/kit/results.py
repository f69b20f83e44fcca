"""The kit's scores of all models in a folder, beside published ones: one table as Markdown, CSV and JSON."""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).parents[1] / "reports" / "published.json"
SCORES, DONE = "test.predicted-scores.json", "prediction-done.json"


@dataclass(frozen=True)
class Score:
    """A model's scores on a task, the primary one first. With folds: the means, and the primary one's deviation."""

    metrics: dict[str, float]
    deviation: float | None

    @property
    def primary(self) -> str:
        return next(iter(self.metrics))

    @property
    def percent(self) -> float:
        return 100 * self.metrics[self.primary]


Table = dict[str, dict[str, Score]]  # task -> model -> score


def read(folder: Path) -> Score:
    """The kit's scores in one task's folder."""
    metrics = json.loads((folder / "task_metadata.json").read_text())["evaluation"]
    scores = json.loads((folder / SCORES).read_text())
    if "aggregated_scores" not in scores:
        return Score({metric: scores["test"][f"test_{metric}"] for metric in metrics}, None)
    folds = scores["aggregated_scores"]
    return Score({m: folds[f"test_{m}_mean"] for m in metrics}, folds[f"test_{metrics[0]}_std"])


def collect(out: Path, setting: str) -> Table:
    """The scores of all finished tasks of all models, at one setting of the search."""
    table: Table = {}
    for done in sorted(out.glob(f"*/*/{setting}/*/{DONE}")):
        task, name, module = done.parent.name, done.parents[2].name, done.parents[3].name
        table.setdefault(task, {})[f"{module} {name}"] = read(done.parent)
    return dict(sorted(table.items()))


def save(out: Path, setting: str, table: Table) -> str:
    """Writes the table three times, each in one step, and returns the Markdown."""
    published = json.loads(PUBLISHED.read_text())
    texts = {
        "md": markdown(table, setting, published),
        "csv": _csv(table, published),
        "json": json.dumps(_plain(table, setting, published), indent=1) + "\n",
    }
    for ending, text in texts.items():
        part = out / f".table-{setting}.{ending}.{os.getpid()}"
        part.write_text(text)
        part.replace(out / f"table-{setting}.{ending}")
    return texts["md"]


def markdown(table: Table, setting: str, published: Mapping[str, Any]) -> str:
    """The table in Markdown: percent with one decimal, ± the deviation over folds; "-" for a missing score."""
    models = _models(table)
    systems = list(published["systems"])
    has_published = any(task in published["tasks"] for task in table)
    head = ["task", "metric", *models, *(["HEAR's best", *systems] if has_published else [])]
    rows = []
    for task, scores in table.items():
        row = [task, _metric(scores), *(_cell(scores.get(model)) for model in models)]
        if has_published:
            theirs = figures(task, _metric(scores), published)
            best = f"{theirs['best']:.1f} ({published['tasks'][task]['best']['model']})" if theirs else "-"
            row += [best, *(f"{theirs[system]:.1f}" if system in theirs else "-" for system in systems)]
        rows.append(row)
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    notes = [f"Percent, by heareval 2021.1.3, search {setting}; ± is the deviation over folds."]
    if has_published:
        notes.append(f"Published figures: {published['protocol']}; sources in evaluation/reports/published.json.")
        notes += [note for task, note in published["notes"].items() if any(name.startswith(task) for name in table)]
    return "\n".join([*lines, "", *notes]) + "\n"


def figures(task: str, metric: str, published: Mapping[str, Any]) -> dict[str, float]:
    """Published scores of one of HEAR's own tasks: the best one and those of some systems; empty for other tasks."""
    entry = published["tasks"].get(task)
    if entry is None or entry["metric"] != metric:
        return {}
    return {"best": entry["best"]["score"], **entry["figures"]}


def _csv(table: Table, published: Mapping[str, Any]) -> str:
    models, systems = _models(table), ["best", *published["systems"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "metric", *models, *(f"published: {system}" for system in systems)])
    for task, scores in table.items():
        theirs = figures(task, _metric(scores), published)
        ours = [f"{scores[model].percent:.2f}" if model in scores else "" for model in models]
        writer.writerow([task, _metric(scores), *ours, *(theirs.get(system, "") for system in systems)])
    return text.getvalue()


def _plain(table: Table, setting: str, published: Mapping[str, Any]) -> dict[str, Any]:
    """All metrics from 0 to 1, as in the kit. Infinite values, which d' can have, become null."""
    tasks = {}
    for task, scores in table.items():
        ours = {
            model: {
                "scores": {name: value if math.isfinite(value) else None for name, value in score.metrics.items()},
                "deviation": score.deviation,
            }
            for model, score in scores.items()
        }
        theirs = figures(task, _metric(scores), published)
        tasks[task] = {"metric": _metric(scores), "models": ours, "published_percent": theirs}
    return {"kit": "heareval 2021.1.3", "search": setting, "tasks": tasks}


def _models(table: Table) -> list[str]:
    return sorted({model for scores in table.values() for model in scores})


def _metric(scores: Mapping[str, Score]) -> str:
    return next(iter(scores.values())).primary


def _cell(score: Score | None) -> str:
    if score is None:
        return "-"
    return f"{score.percent:.1f}" + ("" if score.deviation is None else f" ± {100 * score.deviation:.1f}")
