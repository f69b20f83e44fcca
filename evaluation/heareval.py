"""HEAR's own evaluation by its released kit, on a current Python.

    python -m evaluation.heareval hear_audioformer.msm_mae --tasks DIR --model msm-mae-tiny
    python -m evaluation.heareval --prepare ARCHIVES --tasks DIR

The first call creates the kit's virtual environment. A run resumes: finished tasks are kept, an interrupted task starts
again. See docs/heareval.md.
"""

import sys
from pathlib import Path

import click

from hear_audioformer import weights
from hear_audioformer.checkpoint import WeightsError

from .kit import environment, results, runs
from .kit.environment import KitError
from .kit.runs import Run
from .tasks import archives as prepare

OURS = {
    "hear_audioformer": None,
    **{f"hear_audioformer.{module}": method for method, module in weights.METHODS.items()},
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("module", required=False)
@click.option("--tasks", type=click.Path(path_type=Path), required=True, help="Folder of HEAR tasks.")
@click.option("--model", default="", help="A weight file; for this package's modules also a name or an hf:// address.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/heareval"), show_default=True)
@click.option("--env", "env", type=click.Path(path_type=Path), help="Environment of the kit; by default in the cache.")
@click.option("--grid", type=click.Choice(["default", "faster"]), default="default", show_default=True)
@click.option("--grid-points", default=8, show_default=True, help="How many classifiers to try; HEAR tries 8.")
@click.option("--only", default="", help="Some tasks, separated by commas.")
@click.option("--prepare", "archives", type=click.Path(path_type=Path), help="Folder of HEAR's 48-kHz archives.")
@click.option("--rates", default="16000", show_default=True, help="Rates to prepare, separated by commas.")
def main(
    module: str | None,
    tasks: Path,
    model: str,
    out: Path,
    env: Path | None,
    grid: str,
    grid_points: int,
    only: str,
    archives: Path | None,
    rates: str,
) -> None:
    """Evaluates the HEAR module MODULE by HEAR's own released kit, or prepares HEAR's archives for it.

    \b
    Examples:
      python -m evaluation.heareval hear_audioformer --tasks data/open-suite/tasks --only drum --grid-points 1
      python -m evaluation.heareval --prepare ARCHIVES --tasks data/hear
      python -m evaluation.heareval hear_audioformer --model FILE.safetensors --tasks data/hear

    The first call makes the kit's environment (131 MB from PyPI, four minutes). HEAR's grid trains eight classifiers a
    task; one of them (--grid-points 1) took 41 to 88 s of one core on drum and speaker. Finished tasks are kept.
    """
    if (module is None) == (archives is None):
        raise click.UsageError("name a MODULE to evaluate, or --prepare a folder of archives")
    try:
        if archives is not None:
            failed = prepare.prepare(archives, tasks, prepare.parse_rates(rates))
        else:
            chosen = runs.task_folders(tasks, tuple(filter(None, only.split(","))))
            file = _weight_file(module or "", model)
            name = runs.model_name(file, model or (file.name if file else ""))
            python = environment.ensure(env)
            run = Run(python, module or "", file, name, tasks.absolute(), out.absolute(), grid, grid_points)
            failed = evaluate(run, chosen)
    except (KitError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        raise click.ClickException(f"{len(failed)} failed: {', '.join(failed)}")


def evaluate(run: Run, tasks: list[str]) -> list[str]:
    """Evaluates the model on the tasks, prints and saves the table. Returns the tasks that failed."""
    failed = []
    run.folder.mkdir(parents=True, exist_ok=True)
    with environment.locked(run.folder / ".lock") as lock:
        click.echo(f"{run.module} {run.name}: {len(tasks)} tasks, {run.setting}; logs in {run.folder / 'logs'}")
        for number, task in enumerate(tasks, 1):
            click.echo(f"[{number}/{len(tasks)}] {task}: ", nl=False)
            try:
                click.echo(f"embeddings {_seconds(runs.embed(run, task, lock))}, ", nl=False)
                click.echo(f"predictions {_seconds(runs.predict(run, task, lock))}, ", nl=False)
                score = results.read(run.predictions(task))
                click.echo(f"{score.primary} {score.percent:.1f}")
            except KitError as error:
                failed.append(task)
                click.echo(f"failed\n{error}")
            sys.stdout.flush()
    if table := results.collect(run.out, run.setting):
        click.echo("\n" + results.save(run.out, run.setting, table))
    return failed


def _weight_file(module: str, model: str) -> Path | None:
    """The weight file that the kit passes to the module. The kit accepts only paths of existing files."""
    if Path(model).is_file():
        return Path(model).absolute()
    if module in OURS:
        return weights.resolve(model, OURS[module])
    if model:
        raise KitError(f"no file is called {model!r}; only this package's modules know models by name")
    return None


def _seconds(took: float | None) -> str:
    return "kept" if took is None else f"{took:.0f} s"


if __name__ == "__main__":
    main()
