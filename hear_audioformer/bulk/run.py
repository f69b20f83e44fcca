"""``embed_files``: many recordings -> one table. It needs no torch, which is in the workers alone."""

import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TextIO

from ..errors import StoreError
from .inline import InlineEngine
from .job import DTYPES, ENGINES, Job
from .local import LocalEngine, Watcher
from .output import Output, Run
from .parts import parts, span
from .plan import Plan
from .progress import Listing, Progress
from .single import join
from .skipped import Skipped
from .sources import Source, sources
from .summary import Summary, failed, summarise


def embed_files(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    model: str | Path = "",
    *,
    timestamps: bool = False,
    segment: float | None = None,
    dtype: str = "float32",
    path_column: str = "path",
    shard: str | None = None,
    append: bool = False,
    overwrite: bool = False,
    engine: str = "local",
    workers: int | None = None,
    threads: int = 1,
    device: str | None = None,
    progress: TextIO | bool = True,
    **options: Any,
) -> Summary:
    """Embeds many recordings into one table. A run that was stopped goes on when it is called again.

    Args:
        inputs: files, folders, globs, manifests, tar files of recordings; local, or URLs that fsspec knows.
        out: a folder for Parquet parts, or one file NAME.npz, NAME.parquet or NAME.zarr.
        model: what ``load_model`` takes; the default model if empty.
        timestamps: a row for each frame instead of one a file.
        segment: a row for each stretch of so many seconds instead of one a file.
        dtype: of the embeddings, float32 or float16.
        path_column: of manifests.
        shard: I/N for the I-th of N shares of the files, by a hash of the path: for machines that share nothing.
        append: adds files that a complete result does not hold, and tries those again that failed.
        overwrite: removes a result that is there.
        engine: local or ray.
        workers: processes; by default one a GPU, or else one a core; 0 to embed in this process.
        threads: of each process.
        progress: whether progress is written on stderr, or where it is written.
        options: those of ``load_model``.
    """
    stream = sys.stderr if progress is True else progress or None
    names = list(map(str, [inputs] if isinstance(inputs, (str, Path)) else inputs))
    share = _share(shard)
    _check(names, timestamps, segment, dtype, options)
    output = Output(out)
    with output.locked() as lock:
        asked = [*names, f"shard {shard}"] if shard else names
        known = _state(output, asked, append, overwrite)
        places: dict[str, Any] = {"folder": str(output.folder), "temporary": str(output.temporary)}
        job = Job(str(model), options, device, timestamps, segment, dtype, output.form, **places)
        running = _engine(engine, job, workers, threads, lock)
        try:
            facts = running.facts()
            known = _settled(output, known, facts, asked, overwrite)
            plan = Plan(output.plan)
            if append or not plan.files:
                _list(plan, output, partial(sources, names, path_column=path_column), share, append, stream)
                output.save(replace(known, inputs=list(dict.fromkeys([*known.inputs, *asked])), complete=False))
            _embed(running, plan, output, known.facts, stream)
        finally:
            running.stop()
        return _finished(output, plan, known)


class Engine(Protocol):
    """What does the work: it has a worker, or many."""

    def facts(self) -> dict[str, Any]:
        """The table's facts, which a loaded model knows."""

    def run(self, plan: Plan, done: list[tuple[int, int]], facts: dict[str, Any], watcher: Watcher) -> None:
        """Does all tasks but those inside of ``done``, first and last numbers of files."""

    def stop(self) -> None:
        """Ends all work at once."""


def _engine(name: str, job: Job, workers: int | None, threads: int, lock: int) -> Engine:
    if name not in ENGINES:
        raise ValueError(f"engine={name!r} is not one of {', '.join(ENGINES)}")
    if name == "ray":
        from .ray import RayEngine

        return RayEngine(job, workers, threads)
    return InlineEngine(job) if workers == 0 else LocalEngine(job, workers, threads, lock)


def _check(names: list[str], timestamps: bool, segment: float | None, dtype: str, options: dict[str, Any]) -> None:
    """Refuses options that contradict each other, before anything is begun."""
    if not names:
        raise ValueError("no inputs: name files, folders, globs, manifests or tar files")
    if timestamps and segment is not None:
        raise ValueError("timestamps and segments are two tables: ask for one of them")
    if segment is not None and not segment > 0:
        raise ValueError(f"segment={segment!r} is not a number of seconds above 0")
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is not one of {', '.join(DTYPES)}")
    if options.get("hop_ms") is not None and not timestamps:
        raise ValueError("hop_ms is the step between timestamps: ask for timestamps with it")
    if options.get("pool") is not None and timestamps:
        raise ValueError("pool makes one embedding of many frames: leave it out with timestamps")


def _state(output: Output, names: list[str], append: bool, overwrite: bool) -> Run | None:
    """What is known of a run that this one goes on with; None if this one begins anew."""
    if append and output.single:
        raise StoreError(f"{output.out}: only a folder of parts can be added to; choose -o {output.out.stem}/")
    if output.single and output.out.exists() and not overwrite:
        raise StoreError(f"{output.out} exists; choose another name, or pass --overwrite")
    try:
        run = output.run()
    except StoreError:
        if not overwrite:
            raise
        run = None
    if run and run.complete and not append and not overwrite:
        raise StoreError(f"{output.out} is complete; --append adds files to it, --overwrite begins anew")
    if run and not run.complete and not append and not overwrite and run.inputs != names:
        raise StoreError(
            f"{output.out} was begun with other inputs ({', '.join(run.inputs)}): give the same ones to go on, "
            "--append to add these, or --overwrite to begin anew"
        )
    if overwrite and (run is None or run.complete or run.inputs != names):
        output.remove()
        run = None
    if run is None and parts(output.folder):
        raise StoreError(f"{output.folder} holds parts of a run that is not known: begin anew with --overwrite")
    return run


def _settled(output: Output, run: Run | None, facts: dict[str, Any], names: list[str], overwrite: bool) -> Run:
    """The run, once it is clear that its rows are of this model and these options."""
    if run and (differing := _differing(run.facts, facts)):
        if not overwrite:
            differences = ", ".join(f"{name} {run.facts.get(name)} then, {facts.get(name)} now" for name in differing)
            raise StoreError(
                f"{output.out} was begun with another model or other options ({differences}): "
                "choose another name, or begin anew with --overwrite"
            )
        output.remove()
        run = None
    if run is None:
        run = Run(facts, names)
        output.save(run)
    return run


def _differing(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of facts that differ; where the weights were found does not matter."""
    return [name for name in {**then, **now} if name != "source" and then.get(name) != now.get(name)]


def _list(
    plan: Plan,
    output: Output,
    find: Callable[..., Iterator[Source]],
    share: Callable[[Source], bool],
    append: bool,
    progress: TextIO | None,
) -> None:
    """Puts the files of a share into the plan."""
    skipped, listing = Skipped(), Listing(progress)
    plan.add(filter(share, find(skipped=skipped)), again=failed(output) if append else (), progress=listing)
    listing.finish()
    if progress:
        for line in skipped.lines():
            progress.write(f"{line}\n")
    if not plan.files:
        run = output.run()
        output.remove()
        raise ValueError(f"no audio files in {', '.join(run.inputs if run else [])}")


def _share(shard: str | None) -> Callable[[Source], bool]:
    """Whether a file belongs to a share I/N of all files."""
    if shard is None:
        return lambda source: True
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"shard={shard!r} is not of the form I/N, such as 3/16, with I from 1 to N")
    number, count = int(match[1]) - 1, int(match[2])
    return lambda source: zlib.crc32(os.fsencode(source.path)) % count == number


def _embed(running: Engine, plan: Plan, output: Output, facts: dict[str, Any], progress: TextIO | None) -> None:
    """Does what is not done yet."""
    done = [span(part) for part in parts(output.folder)]
    files = size = 0
    for task in plan.tasks(done):
        files += task.last - task.first + 1
        size += task.bytes
    _refuse_full_disk(output, files, facts)
    total = plan.files
    if files < total and progress:
        progress.write(f"going on: {total - files:,} of {total:,} files are done already\n")
    if files:
        watcher = Progress(total, size, total - files, progress)
        running.run(plan, done, facts, watcher)
        watcher.finish()


def _refuse_full_disk(output: Output, files: int, facts: dict[str, Any]) -> None:
    """Refuses to begin what cannot end for want of disk space; a file has one row at least."""
    need = files * facts["dim"] * (2 if facts["dtype"] == "float16" else 4) * (2 if output.single else 1)
    free = shutil.disk_usage(output.folder).free
    if need > free:
        raise StoreError(
            f"{output.out}: {need / 1e9:.1f} GB are needed for {files:,} rows, {free / 1e9:.1f} GB are free there: "
            "make room, choose another disk, or pass --dtype float16"
        )


def _finished(output: Output, plan: Plan, run: Run) -> Summary:
    """The result in its place. A result without a row is none: nothing stays."""
    summary = summarise(output, plan)
    plan.close()
    if not summary.rows:
        output.remove()
    elif output.single:
        join(output, run.facts)
        shutil.rmtree(output.folder)
    else:
        known = output.run() or run
        output.save(replace(known, complete=True))
    return summary
