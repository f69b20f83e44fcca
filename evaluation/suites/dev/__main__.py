"""``python -m evaluation.suites.dev CORPUS OUT`` writes OUT/tasks."""

from pathlib import Path

import click

from corpora.pack import PackError
from corpora.synthesis import programs
from corpora.synthesis.programs import ProgramError

from .library import Library
from .material import Material
from .notes import find_banks
from .suite import HEADER, SUITE, make


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tasks", default=",".join(SUITE), metavar="A,B", help="Only these; default: all.")
def main(corpus: Path, out: Path, tasks: str) -> None:
    """Makes development tasks in OUT/tasks from the pretraining corpus CORPUS and from synthesis."""
    names = tasks.split(",")
    if unknown := [name for name in names if name not in SUITE]:
        raise click.UsageError(f"no task named {', '.join(unknown)}; there are {', '.join(SUITE)}")
    try:
        needed = sorted({program for name in names for program in SUITE[name].needs})
        programs.need(needed)
        banks = find_banks() if "fluidsynth" in needed else {}
        material = Material(Library(corpus), banks, out)
        click.echo(HEADER)
        for name in names:
            click.echo(make(name, material, out).row())
    except (PackError, ProgramError, ValueError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
