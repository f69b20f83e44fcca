"""Scores frozen embeddings: any HEAR module on a folder of tasks, in minutes.

    python -m evaluation.probe hear_audioformer.msm_mae --suite open
    python -m evaluation.probe hear_audioformer.msm_mae --model runs/tiny.safetensors --tasks DIR --out results

The command embeds every clip once, caches the embeddings under OUT, fits a head on them, and prints scores with 95 %
confidence intervals. It writes OUT/<module>/<model>/<suite>.json, from which the page of results is made. A run that
was stopped resumes.
"""

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from hear_audioformer import WeightsError
from hear_audioformer.assignments import AssignmentError, assignments

from .reports import compare
from .scoring import embeddings, event, records, scene
from .scoring.embeddings import Model
from .tasks import tasks

SUITES = {"open": Path("data/open-suite")}  # suite -> its usual folder
HEADER = f"{'task':28} {'score':12} {'value':>6}  {'95 % interval':15} {'kNN':>6} {'chance':>7} {'seconds':>8}"


def run(
    suite: Path,
    model: Model,
    out: Path,
    *,
    only: tuple[str, ...] = (),
    batch_size: int | None = None,
    head: str = "linear",
    command: str = "",
) -> Path:
    """Scores a model on a suite, task by task. Updates the file of results after each task; returns its path."""
    name = suite.parent.name if suite.name == "tasks" else suite.name
    file = out / model.module.__name__ / model.name / (f"{name}.json" if head == "linear" else f"{name}.{head}.json")
    click.echo(f"{model.module.__name__} {model.name} on {name}\n{HEADER}")
    scored = []
    for task in tasks.find(suite, only):
        if task.is_event and head == "mlp":
            click.echo(f"{task.name:28} left out: events have a linear head alone")
            continue
        started = time.perf_counter()
        if task.is_event:
            frames = embeddings.timestamps(task, model, out / "embeddings", batch_size)
            between = time.perf_counter()
            outcome = event.score(task, frames)
        else:
            vectors = embeddings.scenes(task, model, out / "embeddings", batch_size)
            between = time.perf_counter()
            outcome = scene.score(task, vectors, head)
        seconds = {"embed": between - started, "score": time.perf_counter() - between}
        entry = records.entry(task, outcome, seconds)
        records.add(file, records.facts(model, name, head, command), task.name, entry)
        scored.append(task.name)
        click.echo(_line(task.name, entry))
    if not scored:
        raise ValueError("nothing was scored: choose other tasks, or the linear head")
    mean = compare.read_file(file).mean(scored)
    click.echo(f"{'mean':41} {100 * mean.value:6.1f}  {100 * mean.low:5.1f} to {100 * mean.high:5.1f}\n-> {file}")
    return file


def _line(name: str, entry: dict[str, Any]) -> str:
    interval = f"{100 * entry['low']:5.1f} to {100 * entry['high']:5.1f}"
    knn = f"{100 * entry['others']['knn']['value']:6.1f}" if "knn" in entry["others"] else f"{'-':>6}"
    cells = f"{entry['score']:12} {100 * entry['value']:6.1f}  {interval:15} {knn} {100 * entry['chance']:7.1f}"
    return f"{name:28} {cells} {sum(entry['seconds'].values()):8.1f}"


def _home(suite: str) -> Path:
    """The folder of a suite's tasks; an error if it is not built."""
    folder = SUITES[suite] / "tasks"
    if not folder.is_dir():
        raise click.UsageError(
            f"there is no {folder} here: `python -m evaluation.suites.{suite} {folder.parent}` builds it "
            "(1.3 GB to download), --tasks names any other folder"
        )
    return folder


def _options(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Keyword arguments of load_model from key=value pairs."""
    try:
        return dict(assignments(pairs, form="key=value"))
    except AssignmentError as error:
        raise click.BadParameter(str(error), param_hint="--option") from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("module")
@click.option("--suite", type=click.Choice([*SUITES]), help=f"Tasks in their usual folder: {SUITES['open']}.")
@click.option(
    "--tasks", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Tasks in any folder."
)
@click.option("--model", default="", help="What load_model takes: a name or a weight file.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Keyword arguments of load_model.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--only", default="", metavar="TASK,TASK", help="Only these tasks; others keep their earlier results.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Clips in one call.  [default: 120 s of audio]")
@click.option("--head", type=click.Choice(["linear", "mlp"]), default="linear", show_default=True)
def main(
    module: str,
    suite: str | None,
    folder: Path | None,
    model: str,
    options: tuple[str, ...],
    out: Path,
    only: str,
    batch_size: int | None,
    head: str,
) -> None:
    """Scores the HEAR module MODULE on tasks in HEAR's format: a linear head on frozen embeddings.

    \b
    Examples:
      python -m evaluation.probe hear_audioformer --suite open
      python -m evaluation.probe hear_audioformer --model FILE.safetensors --option layers=[6,12] --suite open
      python -m evaluation.probe my.module --tasks FOLDER --only speaker,drum

    The open suite has eleven tasks in thirteen folders; `python -m evaluation.suites.open data/open-suite` makes it
    (1.3 GB to download, 3 GB on disk). A small model takes it in some ten minutes of two cores. Scores are printed with
    95 % intervals and kept in OUT/MODULE/MODEL/SUITE.json; embeddings are kept in OUT/embeddings, so that the same
    command goes on after a stop.
    """
    if (suite is None) == (folder is None):
        raise click.UsageError("name the tasks by one of --suite and --tasks")
    try:
        run(
            folder or _home(str(suite)),
            Model(module, model, _options(options)),
            out,
            only=tuple(filter(None, only.split(","))),
            batch_size=batch_size,
            head=head,
            command=shlex.join(["python", "-m", "evaluation.probe", *sys.argv[1:]]),
        )
    except (WeightsError, ValueError, ImportError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
