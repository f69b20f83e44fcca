"""Fits a codec on log-mel values to a corpus: minutes on a processor, the same codes for the same seed.

    python -m training.fit_melrvq melrvq-open runs/melrvq-16k data.corpus=data/open

leaves a run like any other, for ``training.reports.codec_accept`` and ``training.export``. It is what codes come from
where no GPU can train ``codec-open`` long enough.
"""

import time
from pathlib import Path
from typing import Any

import click
import torch

from corpora.pack import PackError

from . import checkpoints
from .data.readers import open_source
from .logs import dump
from .objectives.melrvq import Melrvq
from .pretrain import build, fabric_for
from .recipe import read_recipe


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("changes", nargs=-1)
def main(recipe: str, run: Path, changes: tuple[str, ...]) -> None:
    """Fits RECIPE into the folder RUN, with CHANGES as section.key=value."""
    chosen = read_recipe(recipe, changes)
    steps, batch, seed = chosen.loop.steps, chosen.loop.batch, chosen.seed
    try:
        objective = build(chosen)
        if not isinstance(objective, Melrvq):
            raise click.UsageError(f"{recipe} is to be trained: python -m training.pretrain")
        fabric = fabric_for(chosen.precision)
        source, corpus = open_source(chosen.data, objective, torch.device("cpu"))
        started = time.perf_counter()
        with click.progressbar(range(steps), label="Listening") as bar:
            crops: Any = [source(batch, torch.Generator().manual_seed((seed << 32) + step)) for step in bar]
        click.echo("Fitting")
        torch.manual_seed(seed)
        left = objective.fit(torch.cat(crops))
    except (PackError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from error
    rate = steps * batch / (time.perf_counter() - started)
    line = {"step": steps, "loss": left[-1], "crops_per_second": rate}
    line |= {f"left_{number}": share for number, share in enumerate(left, start=1)}
    facts = {"recipe": chosen.raw, "corpus": corpus.fingerprint, "hours": round(corpus.hours, 2)}
    run.mkdir(parents=True, exist_ok=True)
    (run / "log.jsonl").write_text(dump([line]))
    checkpoints.save(fabric, run, steps, {"model": objective, "step": steps, "facts": facts, "average": None}, 1)
    click.echo(f"left of the variance: {', '.join(f'{share:.3f}' for share in left)}; {rate:.0f} crops a second")


if __name__ == "__main__":
    main()
