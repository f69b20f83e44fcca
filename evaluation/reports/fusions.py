"""What each part of a fusion is worth: the probe's scores without it and of it alone, and of fewer values of all.

    python -m evaluation.reports.fusions fusion-tiny --tasks data/dev-suite/tasks
    python -m evaluation.reports.fusions fusion-tiny --tasks data/dev-suite/tasks --dims 512 --dims 128

The fusion embeds each clip once; a row takes its parts' values. The last column is the score of the whole less
that of the row, with paired draws of test groups. Scene tasks alone. Scores are kept in OUT/fusions, so that the same
command goes on after a stop.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from hear_audioformer.errors import WeightsError
from hear_audioformer.fusion.composition import Part, shares
from hear_audioformer.fusion.fusion import Fusion

from ..scoring import embeddings, records, scene
from ..scoring.bootstrap import Interval
from ..tasks import tasks
from ..tasks.tasks import Task
from . import compare

MODULE = "hear_audioformer.fusion"
HEADER = "| parts | values | mean | nearest neighbours | the whole less this |\n|---|---:|---:|---:|---:|"
Vectors = NDArray[np.float32]  # (clips, values)


@dataclass(frozen=True)
class Candidate:
    """What is scored: some columns of the fusion's embedding, or a projection of them all.

    Attributes:
        label: of its row.
        parts: numbers of the fusion's parts.
        dims: leading components of all parts; 0 for all that the parts give.
    """

    label: str
    parts: tuple[int, ...]
    dims: int = 0

    def of(self, vectors: Vectors, sizes: Sequence[int]) -> Vectors:
        """Its embeddings, from those of the fusion, to which each part adds so many values."""
        starts = np.cumsum([0, *sizes])
        kept = shares(self.dims, sizes) if self.dims else sizes
        return np.concatenate([vectors[:, starts[part] : starts[part] + kept[part]] for part in self.parts], axis=1)


def candidates(parts: Sequence[Part], dims: Sequence[int] = ()) -> list[Candidate]:
    """The whole and fewer values of it, then all parts but one, models and front ends apart, and each part alone."""
    every = tuple(range(len(parts)))
    names = [part.name for part in parts]
    made = [Candidate(" + ".join(names), every)]
    made += [Candidate(f"the same, dims={size}", every, size) for size in dims]
    if len(parts) > 2:
        made += [Candidate(f"without {names[left]}", tuple(part for part in every if part != left)) for left in every]
    models = tuple(part for part in every if parts[part].model)
    fronts = tuple(part for part in every if parts[part].front)
    if models and fronts:
        made += [Candidate("models", models)] * (len(models) > 1) + [Candidate("front ends", fronts)] * (
            len(fronts) > 1
        )
    return made + [Candidate(names[part], (part,)) for part in every if len(parts) > 1]


def scored(
    candidate: Candidate, found: Sequence[tuple[Task, Vectors]], sizes: Sequence[int], file: Path
) -> compare.Result:
    """A candidate's scores, kept in a file; tasks that the file has are not scored again."""
    for task, vectors in found:
        content = json.loads(file.read_text()) if file.exists() else {"tasks": {}}
        if task.name not in content["tasks"]:
            outcome = scene.score(task, np.ascontiguousarray(candidate.of(vectors, sizes)))
            facts = {"format": records.FORMAT, "module": MODULE, "name": candidate.label, "head": "linear"}
            facts |= {"model": "", "options": {}, "suite": file.stem}
            records.add(file, facts, task.name, records.entry(task, outcome, {}))
    return compare.read_file(file)


def rows(results: Sequence[tuple[Candidate, int, compare.Result]], names: Sequence[str]) -> Iterator[str]:
    """The table's rows; the first result is the whole."""
    whole = results[0][2]
    for candidate, values, result in results:
        mean = result.mean(names)
        knn = compare.mean({name: _neighbours(result, name) for name in names})
        less = ""
        if result is not whole:
            less = compare.mean({name: compare.difference(whole, result, name) for name in names}).per_cent()
        yield f"| {candidate.label} | {values} | {mean.per_cent()} | {knn.per_cent()} | {less} |"


def _neighbours(result: compare.Result, task: str) -> Interval:
    line = result.tasks[task]["others"]["knn"]
    return Interval.of(line["value"], line["error"], line["degrees"])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@click.option("--tasks", "folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", default="", metavar="TASK,TASK", help="Only these tasks.")
@click.option("--dims", multiple=True, type=click.IntRange(min=1), help="Also so many values of all parts; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
def main(model: str, folder: Path, only: str, dims: tuple[int, ...], out: Path) -> None:
    """Scores the fusion MODEL without each of its parts, and each part alone, on tasks in HEAR's format."""
    try:
        opened = embeddings.Model(MODULE, model)  # embeddings of the probe serve here too
        if opened.loaded.composition.config.dims:
            opened = embeddings.Model(MODULE, model, {"dims": 0})
    except (WeightsError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    assert isinstance(opened.loaded, Fusion)
    config = opened.loaded.composition.config
    parts, sizes, most = config.parts, config.sizes("scene"), config.components("scene")
    if dims and max(dims) > most:
        raise click.BadParameter(f"{model} holds {most} principal components", param_hint="--dims")
    wanted = [task for task in tasks.find(folder, tuple(filter(None, only.split(",")))) if not task.is_event]
    if not wanted:
        raise click.ClickException(f"{folder} holds no scene task of those")
    found = [(task, embeddings.scenes(task, opened, out / "embeddings")) for task in wanted]
    suite = folder.parent.name if folder.name == "tasks" else folder.name
    results = []
    for candidate in candidates(parts, dims):
        place = f"{'-'.join(map(str, candidate.parts))}-{candidate.dims}"
        file = out / "fusions" / f"{opened.name}-{str(opened.sha256)[:8]}" / place / f"{suite}.json"
        result = scored(candidate, found, sizes, file)
        values = candidate.dims or sum(sizes[part] for part in candidate.parts)
        results.append((candidate, values, result))
        click.echo(f"{candidate.label}: {result.mean([task.name for task in wanted]).per_cent()}", err=True)
    click.echo("\n".join([HEADER, *rows(results, [task.name for task in wanted])]))


if __name__ == "__main__":
    main()
