"""The command ``python -m corpora.corpus`` builds a corpus from Debian packages or from the user's own files."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch

from hear_audioformer.files import write_text

from . import assemble, catalogue, clips, steps
from .debian import DebianError
from .sources import Package, Source, user_files
from .steps import FORMATS, StepResult

EVALUATION_FINGERPRINTS = Path(__file__).with_name("evaluation-prints.csv.gz")  # made by --write-prints without ffmpeg


class Failure(click.ClickException):
    """An error in one line: nothing was done; exit code 2."""

    exit_code = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--set", "set_name", type=click.Choice(["open", "small"]), help="open: 100 packages, 7.6 GB; small: 8, 95 MB."
)
@click.option("--package", "packages", multiple=True, metavar="NAME", help="This Debian package too.")
@click.option(
    "--from",
    "origins",
    multiple=True,
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="A folder of audio, or a CSV file with a column path or file_name, and maybe kind and label.",
)
@click.option("--format", "encoding", type=click.Choice(list(FORMATS)), default="flac", show_default=True)
@click.option("--shard-mb", default=256, show_default=True, type=click.IntRange(min=1), help="Of one shard at most.")
@click.option(
    "--exclude-prints",
    "excluded",
    multiple=True,
    metavar="FILE",
    help="Keep out clips that this file knows.  [default with --set: the evaluation's, which ships here]",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--write-prints",
    "fingerprint_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make such a file, and no corpus: of the evaluation's packages, or of --from and --package.",
)
@click.option("--mirror", default="", metavar="URL", help="A Debian archive (URL or folder); without it, apt is asked.")
@click.option("--suite", default="bookworm", show_default=True, help="Of --mirror.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Packages at a time.")
@click.option("--keep", is_flag=True, help="Keep the packages in OUT/debs.")  # fmt: skip
def main(
    out: Path, set_name: str | None, packages: tuple[str, ...], origins: tuple[Path, ...], encoding: str, shard_mb: int,
    excluded: tuple[Path, ...], fingerprint_file: Path | None, mirror: str, suite: str, jobs: int, keep: bool,
) -> None:  # fmt: skip
    """Makes OUT: shards of 16-kHz mono clips, manifest.csv, licences, corpus.json.

    \b
    Examples:
      python -m corpora.corpus OUT --set open
      python -m corpora.corpus PRINTS --write-prints eval.csv
      python -m corpora.corpus OUT --from recordings/ --format opus
      python -m corpora.corpus OUT --from table.csv        # path,kind,label with kind speech, music, sfx or ambience

    A folder's clips are of the kind "other", which recipes do not name: train on them with data.shares={other: 1}.

    Given again after an interruption, the same command goes on after the last package that was finished.
    Exit codes: 0 all done, 1 done but for what is listed at the end, 2 nothing done.
    """
    package_names = _package_names(set_name, packages, fingerprint_file is not None and not origins)
    debs = out / "debs" if keep else None
    if set_name and not excluded and not fingerprint_file:
        excluded = (EVALUATION_FINGERPRINTS,)
    try:
        sources: list[Source] = [Package(name, debs, mirror, suite) for name in package_names]
        sources += [source for origin in origins for source in user_files(origin)]
        if not sources:
            raise Failure("nothing to do: name --set, --package or --from")
        identity: dict[str, Any] = {
            "name": " ".join([set_name or "", *packages, *(str(origin.resolve()) for origin in origins)]).strip(),
            "format": encoding,
            "shard_mb": shard_mb,
            "excluded": sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in excluded),
        }
        out.mkdir(parents=True, exist_ok=True)
        with locked(out), single_thread():
            if fingerprint_file:
                failed = _write_fingerprints(out / "prints", sources, fingerprint_file, jobs)
            else:
                failed = _build_corpus(out, sources, identity, clips.read_fingerprints(excluded), jobs)
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error
    if failed:
        click.echo(f"\n{len(failed)} could not be had or read:", err=True)
        click.echo("\n".join(f"  {line}" for line in failed), err=True)
        sys.exit(1)


def _package_names(set_name: str | None, packages: tuple[str, ...], evaluation: bool) -> list[str]:
    """The Debian packages to process. The evaluation's own are refused, except to write their fingerprints."""
    names = [*catalogue.SETS.get(set_name or "", []), *packages]
    if evaluation and not names:
        names = catalogue.SETS["eval"]
        if not shutil.which("ffmpeg"):
            click.echo("Without ffmpeg, G.722 cannot be read: the same prompts as 8-kHz WAV are taken.", err=True)
            names = [name.replace("-g722", "-wav") for name in names]
    elif refused := [name for name in names if catalogue.is_eval(name)]:
        raise Failure(f"{', '.join(refused)}: used by the evaluation, hence never to be trained on")
    return list(dict.fromkeys(names))


def _build_corpus(
    out: Path, sources: list[Source], identity: dict[str, Any], excluded: clips.Fingerprints, jobs: int
) -> list[str]:
    """Builds the corpus, or what is missing of it. Returns a line for each failure."""
    step_folder, corpus_file = out / "parts", out / "corpus.json"
    state_file = step_folder / "run.json"
    expected, record = ({"format": identity["format"]}, state_file) if state_file.exists() else (identity, corpus_file)
    recorded = json.loads(record.read_text()) if record.exists() else expected
    if {name: recorded.get(name) for name in expected} != expected:  # finished steps depend on nothing but the format
        raise Failure(f"{out} holds another corpus, or one of other options: choose another folder, or delete it")
    if record == corpus_file and corpus_file.exists():
        shutil.rmtree(step_folder, ignore_errors=True)
        _print_summary(recorded, "are there already")
        return recorded["failed"]
    step_folder.mkdir(exist_ok=True)
    write_text(state_file, json.dumps({"format": identity["format"]}))
    finished, missing = run_steps(sources, step_folder, identity["format"], jobs)
    failed = missing + [line for result in finished for line in result.failed]
    if not any(result.rows for result in finished):
        raise Failure("\n".join(["no clips were found", *failed]))
    _print_summary(assemble.write_corpus(out, finished, excluded, {**identity, "failed": failed}), "made")
    if missing:
        click.echo(f"{step_folder} stays, so that the same command fetches only what is missing.", err=True)
    else:
        state_file.unlink()  # first: without it the corpus counts as complete
        shutil.rmtree(step_folder)
    return failed


def _write_fingerprints(folder: Path, sources: list[Source], target: Path, jobs: int) -> list[str]:
    """Writes the fingerprints of all clips of the sources. Returns a line for each failure."""
    folder.mkdir(exist_ok=True)
    finished, missing = run_steps(sources, folder, "", jobs)
    count = clips.write_fingerprints(
        target, ((row.package, row.sha256, row.fingerprint) for result in finished for row in result.rows)
    )
    click.echo(f"{target}: {count} prints of {len(finished)} packages")
    return missing + [line for result in finished for line in result.failed]


def run_steps(sources: list[Source], folder: Path, encoding: str, jobs: int) -> tuple[list[StepResult], list[str]]:
    """Runs every step that has no result yet. Returns all results, and a line for each step that failed."""
    for leftover in folder.glob("work-*"):  # of a run that was killed
        shutil.rmtree(leftover)
    finished = {source.step: result for source in sources if (result := steps.load(folder, source.step))}
    missing: list[str] = []
    started, count = time.monotonic(), len(sources)
    if finished:
        click.echo(f"{len(finished)} of {count} are there already", err=True)
    todo = [source for source in sources if source.step not in finished]
    if todo:
        click.echo(f"{len(todo)} to fetch and decode, {jobs} at a time; a line each when it is done", err=True)
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(steps.make, source, folder, encoding): source for source in todo}
        try:
            for future in as_completed(futures):
                step = futures[future].step
                try:
                    result = finished[step] = future.result()
                    hours = sum(row.seconds for row in result.rows) / 3600
                    outcome = f"{len(result.rows)} clips, {hours:.2f} h, {result.bytes / 1e6:.0f} MB"
                except Exception as error:  # any error stops only its own step
                    reason = str(error) if isinstance(error, DebianError) else f"{type(error).__name__}: {error}"
                    missing.append(f"{step}: {reason.removeprefix(f'{step}: ')}")
                    outcome = "FAILED"
                progress = f"[{len(finished) + len(missing)}/{count}, {time.monotonic() - started:.0f} s]"
                click.echo(f"{progress} {step}: {outcome}", err=True)
        except KeyboardInterrupt:
            os._exit(130)  # safe: a step's files appear whole or not at all
    return [finished[source.step] for source in sources if source.step in finished], sorted(missing)


def _print_summary(summary: dict[str, Any], state: str) -> None:
    kinds = ", ".join(f"{kind} {hours:.2f}" for kind, hours in summary["hours_by_kind"].items())
    dropped = ", ".join(f"{count} {reason}" for reason, count in summary["dropped"].items()) or "nothing"
    click.echo(f"{summary['clips']} clips, {summary['hours']:.2f} h ({kinds}) {state}; dropped: {dropped}")
    click.echo(f"fingerprint {summary['fingerprint']}")


@contextmanager
def single_thread() -> Iterator[None]:
    """Limits torch to one thread: each job resamples on its own thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Locks the folder against a second run. The system releases the lock even if this run is killed."""
    with open(out / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failure(f"{out}: another run is at work here") from error
        yield


if __name__ == "__main__":
    main()
