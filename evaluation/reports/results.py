"""Makes the page of results, every model on every task with intervals, from files of results.

python -m evaluation.reports.results results -o docs/generated/results.md
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import click

from ..scoring.bootstrap import student
from . import compare, score_plot
from .compare import Result, ResultsError

INTRODUCTION = """\
Frozen embeddings under a linear head whose strength is chosen on validation clips; onsets of events by a linear head on
timestamp embeddings. `accuracy` is the share of clips that are right, `mean_recall` its average over classes, `pitch`
the share of notes named to the semitone, `onset_50ms` and `onset_200ms` the F-measure of onsets within that tolerance.
Scores are out of 100; the halves of a task that is in two folders (words, effects) count as one in `mean`. After ± is
the half width of a 95 % interval: test groups (speakers, kits, packages of sounds) are drawn with replacement, so it
tells what other groups of the same kind would have given. `against` counts wins and losses: tasks on which a model is
better, or worse, than a baseline beyond the 95 % interval of their difference, for which the same groups are drawn for
both. `drop` is what the mean over its tasks loses when the same heads hear test clips with noise or
reverberation."""


def page(results: Sequence[Result], out: Path, baselines: Sequence[str] = (), picture: bool = True) -> str:
    """The page in Markdown. Writes its pictures beside ``out``."""
    suites = originals(results)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    lines = [
        "# Results",
        "",
        f"Made by `python -m evaluation.reports.results` on {now}; do not edit.",
        "",
        INTRODUCTION,
    ]
    for suite in suites:
        in_suite = [result for result in results if result.suite == suite]
        tasks = sorted({task for result in in_suite for task in result.tasks})
        rivals = [r for r in in_suite if r.label in baselines or (not baselines and r.is_baseline)]
        perturbed = {s.removeprefix(suite).lstrip("-_+"): s for s in suites[suite]}
        lines += ["", f"## {suite}", ""]
        lines += [
            *_summary(in_suite, tasks, results, perturbed),
            "",
            *_scores(in_suite, tasks),
            "",
            *_wins(in_suite, tasks, rivals),
            "",
        ]
        if picture:
            image = out.with_name(f"{out.stem}.png" if len(suites) == 1 else f"{out.stem}-{suite}.png")
            score_plot.draw(image, suite, in_suite, tasks)
            lines += [f"![Scores of every model on every task, with intervals]({image.name})", ""]
        lines += [
            "With intervals:",
            "",
            *_table(in_suite, tasks),
            "",
            *_origins(in_suite),
        ]
    return "\n".join(lines) + "\n"


def originals(results: Sequence[Result]) -> dict[str, list[str]]:
    """Suite -> its perturbed versions, whose names are the suite's with a suffix."""
    names = sorted({result.suite for result in results})
    suites: dict[str, list[str]] = {}
    for name in names:
        origin = next((other for other in suites if name.startswith((f"{other}-", f"{other}_", f"{other}+"))), None)
        if origin is None:
            suites[name] = []
        else:
            suites[origin].append(name)
    return suites


def _summary(
    results: Sequence[Result],
    tasks: Sequence[str],
    everything: Sequence[Result],
    perturbed: dict[str, str],
) -> Iterator[str]:
    """A row a model: means, drop under each perturbation, size."""
    twins = {name: {r.label: r for r in everything if r.suite == suite} for name, suite in perturbed.items()}
    shared = {name: _perturbed_tasks(results, twins[name]) for name in perturbed}
    drops = [
        f"drop with {name}" + ("" if set(shared[name]) == set(tasks) else f" in {', '.join(shared[name])}")
        for name in perturbed
    ]
    yield _row("model", "mean", "mean of kNN", *drops, "parameters", "dims")
    yield _row("---", *(["---:"] * (4 + len(perturbed))))
    for result in _ranked(results, tasks):
        whole = set(result.tasks) == set(tasks)
        knn = result.mean_of_other("knn", tasks) if whole else None
        cells = [_value(*_half(result.mean(tasks))) if whole else f"{len(result.tasks)} of {len(tasks)} tasks"]
        cells.append("-" if knn is None else f"{100 * knn:.1f}")
        for name in perturbed:
            twin = twins[name].get(result.label)
            lost = compare.drop(result, twin, shared[name]) if twin else None
            cells.append("-" if lost is None else f"{100 * lost:.1f}")
        millions = f"{result.content['parameters'] / 1e6:.1f} M"
        yield _row(result.label, *cells, millions, str(result.content["scene_embedding_size"]))


def _ranked(results: Sequence[Result], tasks: Sequence[str]) -> list[Result]:
    """The best mean first, models without all tasks last."""
    complete = {r.label: r.mean(tasks).value for r in results if set(r.tasks) == set(tasks)}
    return sorted(results, key=lambda r: -complete.get(r.label, -1.0))


def _scores(results: Sequence[Result], tasks: Sequence[str]) -> Iterator[str]:
    """A row a model, a column a task, without intervals, so that it fits on a screen; the best value is bold."""
    best = {task: max(r.tasks[task]["value"] for r in results if task in r.tasks) for task in tasks}
    yield _row("scores", *tasks)
    yield _row("---", *["---:"] * len(tasks))
    for result in _ranked(results, tasks):
        values = [result.tasks[task]["value"] if task in result.tasks else None for task in tasks]
        texts = ["-" if value is None else f"{100 * value:.1f}" for value in values]
        bold = [f"**{text}**" if v == best[task] else text for task, v, text in zip(tasks, values, texts, strict=True)]
        yield _row(result.label, *bold)


def _wins(results: Sequence[Result], tasks: Sequence[str], rivals: Sequence[Result]) -> Iterator[str]:
    """A row a model: wins and losses against each baseline."""
    if not rivals:
        return
    yield _row("wins : losses", *(f"against {rival.label}" for rival in rivals))
    yield _row("---", *["---:"] * len(rivals))
    for result in _ranked(results, tasks):
        counts = [compare.tally(result, rival) for rival in rivals]
        cells = [f"{count.wins} : {count.losses}" for count in counts]
        yield _row(result.label, *("" if r is result else cell for r, cell in zip(rivals, cells, strict=True)))


def _perturbed_tasks(results: Sequence[Result], twins: dict[str, Result]) -> list[str]:
    """The tasks with a perturbed score of some model."""
    scores_of_models = [
        compare.perturbed_scores(result, twins[result.label]) for result in results if result.label in twins
    ]
    return sorted({task for scores in scores_of_models for task in scores})


def _table(results: Sequence[Result], tasks: Sequence[str]) -> Iterator[str]:
    """A row a task, a column a model; the best value is bold."""
    yield _row("task", "score", "groups", "chance", *(result.label for result in results))
    yield _row("---", "---", "---:", "---:", *["---:"] * len(results))
    for task in tasks:
        scored = [result for result in results if task in result.tasks]
        line = scored[0].tasks[task]
        best = max(result.tasks[task]["value"] for result in scored)
        groups = str(line["test_groups"]) if line["drawn"] == "groups" else f"{line['test_clips']} clips"
        cells = []
        for result in results:
            text = _value(*_half(result.interval(task))) if task in result.tasks else "-"
            cells.append(f"**{text}**" if task in result.tasks and result.tasks[task]["value"] == best else text)
        yield _row(task, line["score"], groups, f"{100 * line['chance']:.1f}", *cells)


def _origins(results: Sequence[Result]) -> Iterator[str]:
    """The command, date and versions behind each row."""
    yield "How each was made:"
    yield ""
    for result in results:
        content = result.content
        date = max(line["date"] for line in result.tasks.values())[:10]
        versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
        weights = f"; weights {content['model_sha256'][:12]}" if content["model_sha256"] else ""
        yield f"- {result.label}: `{content['command']}` ({date}, {content['device']}; {versions}{weights})"


def _half(interval: compare.Interval) -> tuple[float, float]:
    return interval.value, student(interval.degrees) * interval.error


def _value(value: float, half: float) -> str:
    return f"{100 * value:.1f} ± {100 * half:.1f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The page.  [default: results.md in FOLDER]")
@click.option("--baseline", "baselines", multiple=True, help="Count wins against this row.  [default: all baselines]")
@click.option("--no-picture", is_flag=True, help="Without the plot, which needs matplotlib.")
def main(folder: Path, out: Path | None, baselines: tuple[str, ...], no_picture: bool) -> None:
    """Makes a page, and a picture beside it, of the results that evaluation.probe wrote into FOLDER.

    All models x all tasks, with intervals, wins and losses against the baselines. Three models took six seconds.

    \b
    Examples:
      python -m evaluation.reports.results results
      python -m evaluation.reports.results results -o docs/generated/results.md    # replaces the page of this clone
    """
    out = out or folder / "results.md"
    try:
        results = compare.read(folder)
        labels = {result.label for result in results}
        if unknown := sorted(set(baselines) - labels):
            raise ResultsError(f"no results of {', '.join(unknown)}; there are {', '.join(sorted(labels))}")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(results, out, baselines, not no_picture))
    except (ResultsError, ModuleNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(out)


if __name__ == "__main__":
    main()
