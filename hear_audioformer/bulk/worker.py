"""A worker: one model that embeds files and commits their rows. All engines run it, so all give the same rows."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import __version__, checkpoint, weights
from ..devices import device_of
from ..index import index
from .decoding import Decoded
from .embedding import FileEmbedder, Progress
from .job import Job
from .parts import Kind, Part
from .plan import Item, Task
from .rows import Footer, Rows, Trouble
from .spool import Spool


class Worker:
    """Embeds files of a job. A worker keeps nothing between two calls but the model.

    Args:
        job: what to do.
        progress: told of the files, the seconds of sound and the bytes that were done since it was told last.
    """

    def __init__(self, job: Job, progress: Progress | None = None) -> None:
        self.job = job
        path = weights.resolve(job.model)
        self.sha256 = checkpoint.read_header(path).sha256
        self.model = weights.open_model(path, **job.options).to(device_of(job.device))
        self.embed = FileEmbedder(
            self.model, timestamps=job.timestamps, segment=job.segment, dtype=job.dtype, progress=progress
        )

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self.model.timestamp_embedding_size if self.job.timestamps else self.model.scene_embedding_size

    def facts(self) -> dict[str, Any]:
        """What the table says of all its rows; only a run with the same facts adds to it."""
        model, job = self.model, self.job
        facts: dict[str, Any] = {
            "model": Path(job.model).stem if job.model else index().default,
            "source": _absolute(job.model) if job.model else index().default,  # what load_model takes
            "sha256": self.sha256,
            "version": __version__,
            "kind": "timestamps" if job.timestamps else "segments" if job.segment else "scenes",
            "dim": self.dim,
            "dtype": job.dtype,
            "sample_rate": model.sample_rate,
            "precision": model.used_precision,
            **model.choices(),
            **{key: job.options[key] for key in job.options if key not in weights.EMBEDDER_OPTIONS},
        }
        if job.timestamps:
            return facts | {"pool": None, "hop_ms": model.hop_ms}
        return {name: fact for name, fact in facts.items() if name != "hop"} | {"segment": job.segment}

    def __call__(self, tasks: Sequence[Task], items: Sequence[Item]) -> Footer:
        """Embeds the files of neighbouring tasks, commits them as one part, and returns its footer."""
        return self._committed(tasks, self.embed(items, {task.last for task in tasks}))

    def careful(
        self, tasks: Sequence[Task], items: Sequence[Item], deadly: Sequence[int], at: Callable[[int], None]
    ) -> Footer:
        """The same, one file after another. Of files at which a worker died it embeds none.

        Args:
            deadly: their numbers.
            at: told of the number of each file before it is opened.
        """

        def results() -> Iterator[Rows | Decoded]:
            for item in items:
                if item.number in deadly:
                    yield Decoded(item, error="the process died at this file; is it damaged, or the memory too small?")
                else:
                    at(item.number)
                    yield from self.embed([item])

        return self._committed(tasks, results())

    def _committed(self, tasks: Sequence[Task], results: Iterator[Rows | Decoded]) -> Footer:
        job = self.job
        kind = Kind(job.form, self.dim, job.dtype, job.facts)
        span = tasks[0].first, tasks[-1].last
        part = Part(Path(job.folder), Path(job.temporary), span, kind)
        with Spool(Path(job.temporary)) as spool:  # rows of a file that turns out bad at its end must not stay
            for result in results:
                if isinstance(result, Rows):
                    spool.add(result)
                    continue
                for rows in spool.taken():
                    if result.error is None:
                        part.write(rows)
                part.footer.keys[result.item.number] = result.key
                part.footer.troubles += troubles(result)
        part.commit()
        return part.footer


def _absolute(model: str) -> str:
    """What names a model from any folder."""
    return model if model in index().models or "://" in model else str(Path(model).absolute())


def troubles(file: Decoded) -> list[Trouble]:
    """What is wrong with a file."""
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    if file.error is not None:
        return [Trouble(file.item.number, file.path, file.error, time)]
    return [Trouble(file.item.number, file.path, note, time, fatal=False) for note in file.notes]
