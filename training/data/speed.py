"""How fast batches come: ``python -m training.data.speed CORPUS`` prints crops a second of every part of the data path.

Beside the clock's it prints those of a second of one core, which neighbours on a busy machine disturb less.
"""

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import click
import torch
from torch import Tensor

from corpora.clips import RATE
from corpora.index import Index
from corpora.pack import Pack

from .augment import Augment
from .crop_batches import CropBatches
from .crops import Crops
from .stream import Stream
from .synth import synthesise

AUGMENTS = {
    "once": Augment(once=0.5),
    "mix": Augment(mix=0.3),
    "reverb": Augment(reverb=0.3),
    "gain": Augment(gain_db=6.0),
    "all four": Augment(once=0.5, mix=0.3, reverb=0.3, gain_db=6.0),
}


def measure(name: str, batch: int, seeds: Iterable[int], make: Callable[[torch.Generator], Tensor]) -> None:
    """Prints one line."""
    wall, cpu, count = time.perf_counter(), _cpu(), 0
    for seed in seeds:
        make(torch.Generator().manual_seed(seed))
        count += batch
    took = time.perf_counter() - wall
    click.echo(f"{name:24} {count / took:8.0f} crops/s {count / (_cpu() - cpu):8.0f} crops/s of one core's time")


def _cpu() -> float:
    """Processor seconds of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seconds", default=2.08, show_default=True, help="Length of a crop.")
@click.option("--batch", default=256, show_default=True)
@click.option("--batches", default=20, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Up to so many processes that read shards.")
def main(corpus: Path, seconds: float, batch: int, batches: int, workers: int) -> None:
    """Prints how fast crops of CORPUS come on the CPU, one thread a process."""
    torch.set_num_threads(1)
    samples, seeds = round(seconds * RATE), range(batches)
    pack, index = Pack.open(corpus), Index.open(corpus)
    shares = dict.fromkeys(pack.kinds, 1.0)
    resident = Crops(pack, samples, shares, device="cpu")
    for _ in range(2):  # the second time from the page cache
        measure("resident", batch, seeds, partial(resident, batch))
    for count in range(1, workers + 1):
        stream = Stream(index, samples, shares, device="cpu", workers=count)

        def read(generator: torch.Generator, stream: Stream = stream) -> Tensor:
            crops = stream(batch, generator)
            if not stream.reads.planned:
                stream.reads.end()  # so that the time of the worker processes counts
            return crops

        for _ in range(2):
            stream.begin(batch, seeds)
            measure(f"stream, {count} workers", batch, seeds, read)
    few = seeds[: max(1, batches // 5)]
    measure("synthesis", batch, few, lambda generator: synthesise(batch, samples, RATE, generator))
    for name, augment in AUGMENTS.items():
        crops = Crops(pack, samples, shares, once=augment.once, device="cpu")
        mixture = CropBatches(crops, samples, RATE, synthetic=0.0, augment=augment)
        measure(f"resident, {name}", batch, few, partial(mixture, batch))


if __name__ == "__main__":
    main()
