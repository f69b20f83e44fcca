"""The command ``python -m corpora.corpus``: from Debian packages or the user's own files to a corpus."""

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

from . import assemble, catalogue, clips, parts
from .debian import DebianError
from .parts import FORMATS, Part
from .sources import Package, Source, user_files

EVALUATION = Path(__file__).with_name("evaluation-prints.csv.gz")  # made by --write-prints without ffmpeg


class Failure(click.ClickException):
    """An error in one line: nothing was done; exit code 2."""

    exit_code = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--set", "which", type=click.Choice(["open", "small"]), help="open: 100 packages, 7.6 GB; small: 8, 95 MB."
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
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="flac", show_default=True)
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
    "prints",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make such a file, and no corpus: of the evaluation's packages, or of --from and --package.",
)
@click.option("--mirror", default="", metavar="URL", help="A Debian archive (URL or folder); without it, apt is asked.")
@click.option("--suite", default="bookworm", show_default=True, help="Of --mirror.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Packages at a time.")
@click.option("--keep", is_flag=True, help="Keep the packages in OUT/debs.")  # fmt: skip
def main(
    out: Path, which: str | None, packages: tuple[str, ...], origins: tuple[Path, ...], form: str, shard_mb: int,
    excluded: tuple[Path, ...], prints: Path | None, mirror: str, suite: str, jobs: int, keep: bool,
) -> None:  # fmt: skip
    """Makes OUT: shards of 16-kHz mono clips, manifest.csv, licences, corpus.json.

    \b
    Examples:
      python -m corpora.corpus OUT --set open
      python -m corpora.corpus PRINTS --write-prints eval.csv
      python -m corpora.corpus OUT --from recordings/ --format opus

    Given again after an interruption, the same command goes on after the last package that was finished.
    Exit codes: 0 all done, 1 done but for what is listed at the end, 2 nothing done.
    """
    names = _names(which, packages, prints is not None and not origins)
    debs = out / "debs" if keep else None
    if which and not excluded and not prints:
        excluded = (EVALUATION,)
    try:
        sources: list[Source] = [Package(name, debs, mirror, suite) for name in names]
        sources += [source for origin in origins for source in user_files(origin)]
        if not sources:
            raise Failure("nothing to do: name --set, --package or --from")
        identity: dict[str, Any] = {
            "name": " ".join([which or "", *packages, *(str(origin.resolve()) for origin in origins)]).strip(),
            "format": form,
            "shard_mb": shard_mb,
            "excluded": sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in excluded),
        }
        out.mkdir(parents=True, exist_ok=True)
        with alone(out), one_thread():
            if prints:
                failed = _prints(out / "prints", sources, prints, jobs)
            else:
                failed = _corpus(out, sources, identity, clips.read_prints(excluded), jobs)
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error
    if failed:
        click.echo(f"\n{len(failed)} could not be had or read:", err=True)
        click.echo("\n".join(f"  {line}" for line in failed), err=True)
        sys.exit(1)


def _names(which: str | None, packages: tuple[str, ...], evaluation: bool) -> list[str]:
    """The Debian packages asked for; the evaluation's own are refused unless they are there to be kept out."""
    names = [*catalogue.SETS.get(which or "", []), *packages]
    if evaluation and not names:
        names = catalogue.SETS["eval"]
        if not shutil.which("ffmpeg"):
            click.echo("Without ffmpeg, G.722 cannot be read: the same prompts as 8-kHz WAV are taken.", err=True)
            names = [name.replace("-g722", "-wav") for name in names]
    elif refused := [name for name in names if catalogue.is_eval(name)]:
        raise Failure(f"{', '.join(refused)}: used by the evaluation, hence never to be trained on")
    return list(dict.fromkeys(names))


def _corpus(out: Path, sources: list[Source], identity: dict[str, Any], prints: clips.Prints, jobs: int) -> list[str]:
    """Makes the corpus, as far as it is not there; what failed."""
    folder, target = out / "parts", out / "corpus.json"
    note = folder / "run.json"
    begun, there = ({"format": identity["format"]}, note) if note.exists() else (identity, target)
    told = json.loads(there.read_text()) if there.exists() else begun
    if {name: told.get(name) for name in begun} != begun:  # finished steps depend on nothing but the format
        raise Failure(f"{out} holds another corpus, or one of other options: choose another folder, or delete it")
    if there == target and target.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _say(json.loads(target.read_text()), "are there already")
        return json.loads(target.read_text())["failed"]
    folder.mkdir(exist_ok=True)
    write_text(note, json.dumps({"format": identity["format"]}))
    finished, missing = steps(sources, folder, identity["format"], jobs)
    failed = missing + [line for part in finished for line in part.failed]
    if not any(part.rows for part in finished):
        raise Failure("\n".join(["no clips were found", *failed]))
    told = assemble.corpus(out, finished, prints, {**identity, "failed": failed})
    _say(told, "made")
    if missing:
        click.echo(f"{folder} stays, so that the same command fetches only what is missing.", err=True)
    else:
        note.unlink()  # first: from here on the corpus is complete
        shutil.rmtree(folder)
    return failed


def _prints(folder: Path, sources: list[Source], target: Path, jobs: int) -> list[str]:
    """Writes the prints of all clips of the sources; what failed."""
    folder.mkdir(exist_ok=True)
    finished, missing = steps(sources, folder, "", jobs)
    count = clips.write_prints(target, ((row.package, row.sha256, row.print) for part in finished for row in part.rows))
    click.echo(f"{target}: {count} prints of {len(finished)} packages")
    return missing + [line for part in finished for line in part.failed]


def steps(sources: list[Source], folder: Path, form: str, jobs: int) -> tuple[list[Part], list[str]]:
    """Does all steps that are not done yet: the finished ones, and a line for each that failed."""
    for leftover in folder.glob("work-*"):  # of a run that was killed
        shutil.rmtree(leftover)
    finished = {source.step: part for source in sources if (part := parts.load(folder, source.step))}
    missing: list[str] = []
    started, count = time.monotonic(), len(sources)
    if finished:
        click.echo(f"{len(finished)} of {count} are there already", err=True)
    with ThreadPoolExecutor(jobs) as pool:
        todo = [source for source in sources if source.step not in finished]
        futures = {pool.submit(parts.make, source, folder, form): source for source in todo}
        try:
            for future in as_completed(futures):
                step = futures[future].step
                try:
                    part = finished[step] = future.result()
                    hours = sum(row.seconds for row in part.rows) / 3600
                    text = f"{len(part.rows)} clips, {hours:.2f} h, {part.bytes / 1e6:.0f} MB"
                except Exception as error:  # whatever it is, it stops this step alone
                    reason = str(error) if isinstance(error, DebianError) else f"{type(error).__name__}: {error}"
                    missing.append(f"{step}: {reason.removeprefix(f'{step}: ')}")
                    text = "FAILED"
                place = f"[{len(finished) + len(missing)}/{count}, {time.monotonic() - started:.0f} s]"
                click.echo(f"{place} {step}: {text}", err=True)
        except KeyboardInterrupt:
            os._exit(130)  # nothing is half done: a step appears whole or not at all
    return [finished[source.step] for source in sources if source.step in finished], sorted(missing)


def _say(told: dict[str, Any], state: str) -> None:
    kinds = ", ".join(f"{kind} {hours:.2f}" for kind, hours in told["hours_by_kind"].items())
    dropped = ", ".join(f"{count} {reason}" for reason, count in told["dropped"].items()) or "nothing"
    click.echo(f"{told['clips']} clips, {told['hours']:.2f} h ({kinds}) {state}; dropped: {dropped}")
    click.echo(f"fingerprint {told['fingerprint']}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Resampling on one thread a job."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keeps a second run out of the folder; the system takes the lock back however this one ends."""
    with open(out / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failure(f"{out}: another run is at work here") from error
        yield


if __name__ == "__main__":
    main()
