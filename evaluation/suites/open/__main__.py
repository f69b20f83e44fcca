"""The command ``python -m evaluation.suites.open``: eleven tasks in HEAR's format from free Debian recordings."""

import sys
import time
from pathlib import Path

import click

from corpora import corpus
from corpora.corpus import Failure

from ...tasks import write as hear_format
from . import fetch, leakage, suite
from .plan import Plan
from .recordings import Library


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tasks", default="", metavar="NAME,...", help=f"Of {', '.join(suite.NAMES)}.  [default: all]")
@click.option("--rates", default="16000", show_default=True, metavar="HZ,...", help="Written side by side.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Packages at a time.")
@click.option("--mirror", default="", metavar="URL", help="A Debian archive (URL or folder); without it, apt is asked.")
@click.option("--suite", "release", default="bookworm", show_default=True, help="Of --mirror.")
@click.option(
    "--check-against",
    "manifest",
    metavar="MANIFEST.csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Fail if a pretraining corpus with this manifest holds a recording of the tasks.",
)
def main(out: Path, tasks: str, rates: str, jobs: int, mirror: str, release: str, manifest: Path | None) -> None:
    """Makes OUT/tasks, which HEAR's kit reads as it is; OUT/licences; and OUT/clips, the decoded recordings.

    \b
    Examples:
      python -m evaluation.suites.open data/open-suite
      python -m evaluation.suites.open data/open-suite --tasks word,drum --rates 16000,32000
      python -m evaluation.suites.open data/open-suite --check-against data/open/manifest.csv

    Given again, the command makes what is missing. About 1.3 GB are downloaded; OUT takes about 3 GB at one rate.
    Exit codes: 0 all done; 1 a package failed, a task is not what it should be, or a corpus has clips of it; 2 nothing
    was done.
    """
    try:
        plans = suite.choose([name for name in tasks.split(",") if name])
        hertz = [int(rate) for rate in rates.split(",")]
        out.mkdir(parents=True, exist_ok=True)
        with corpus.locked(out), corpus.single_thread():
            packages = {package for plan in plans for package in plan.packages}
            library, failed = fetch.fetch(out, packages, jobs, mirror, release)
            failed += [line for plan in plans for line in _make(out / "tasks", plan, library, hertz, failed)]
            if manifest:
                failed += _leaks(library, packages - _missing(packages, failed), manifest)
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error
    if failed:
        click.echo("\n".join(["", "Not as it should be:", *(f"  {line}" for line in failed)]), err=True)
        sys.exit(1)


def _make(tasks: Path, plan: Plan, library: Library, rates: list[int], failed: list[str]) -> list[str]:
    """Writes a task unless it exists. Returns its faults."""
    if missing := _missing(plan.packages, failed):
        return [f"{plan.task.name}: not made without {', '.join(sorted(missing))}"]
    folder, started, state = tasks / plan.task.folder, time.monotonic(), "was there already"
    if not all((folder / str(rate)).is_dir() for rate in rates):
        hear_format.write(tasks, plan.task, plan.clips(library), rates)
        state = f"{time.monotonic() - started:.0f} s"
    tally = suite.tally(folder, plan.expected)
    head, *rest = tally.lines(plan.task.name)
    click.echo("\n".join([f"{head} ({state})", *rest]))
    return [f"{plan.task.name}: {line}" for line in tally.far]


def _missing(packages: set[str] | tuple[str, ...], failed: list[str]) -> set[str]:
    """The packages that failed."""
    names = {fetch.package_of(line) for line in failed}
    return {package for package in packages if package in names}


def _leaks(library: Library, packages: set[str], manifest: Path) -> list[str]:
    """Compares the suite's recordings with a corpus. Returns the matches."""
    report = leakage.check(library, sorted(packages), manifest)
    method = "hash and print" if report.by_fingerprint else "hash alone (a pack beside the manifest would give prints)"
    click.echo(
        f"{manifest}: {report.clips} clips compared by {method} with {report.compared} of the suite; "
        f"{len(report.matches)} matches"
    )
    return report.matches


if __name__ == "__main__":
    main()
