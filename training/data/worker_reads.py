"""Reading by worker processes ahead of the training loop, which says beforehand what it will ask for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

AHEAD = 2  # batches that a worker has ready

Draw = Callable[[int, torch.Generator], Tensor]  # batch size, generator -> rows that the data set is indexed by


class WorkerReads:
    """Batches of a data set in the order of the seeds that they are drawn by.

    Args:
        dataset: indexed by the rows of a whole batch, on the CPU.
        draw: the rows of a batch.
        device: of the generators.
        workers: processes; 0 reads in the training process.
    """

    def __init__(self, dataset: Dataset[Any], draw: Draw, device: torch.device, workers: int) -> None:
        self.dataset, self.draw, self.device, self.workers = dataset, draw, device, workers
        self.planned: deque[tuple[int, int]] = deque()  # seed and size of each batch
        self.batches: Iterator[Any] | None = None

    def begin(self, batch: int, seeds: Iterable[int]) -> None:
        """From here on, the loop asks for batches of one size by generators of these seeds, in this order."""
        self.end()
        if not self.workers:
            return
        self.batches = iter(
            DataLoader(
                self.dataset,
                batch_size=None,
                sampler=self._plan(batch, seeds),
                num_workers=self.workers,
                prefetch_factor=AHEAD,
                pin_memory=self.device.type == "cuda",
            )
        )

    def end(self) -> None:
        """Ends the worker processes; what is asked for from here on is read at once."""
        self.planned.clear()
        self.batches = None

    def read(self, rows: Tensor, seed: int) -> Any:
        """The batch of these rows, which a generator of this seed drew."""
        if self.batches is None:
            return self.dataset[rows.cpu()]
        batch = next(self.batches)
        if self.planned.popleft() != (seed, len(rows)):
            raise ValueError("a reader was asked for another batch than it was told of by begin()")
        return batch

    def _plan(self, batch: int, seeds: Iterable[int]) -> Iterator[Tensor]:
        for seed in seeds:
            self.planned.append((seed, batch))
            yield self.draw(batch, torch.Generator(self.device).manual_seed(seed)).cpu()
