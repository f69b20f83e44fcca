"""The tables that the page shows: those that are there, and those that it offers to make of a folder."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..bulk.parts import parts
from ..bulk.run import embed_files
from ..errors import InputError
from .folder import Folder

MOST = 2  # tables side by side
Report = Callable[[str], None]


@dataclass
class Shelf:
    """Open tables, and a folder to make tables of.

    Attributes:
        folders: open tables.
        recordings: the folder to embed; empty if tables were given.
        models: that embed it.
        out: where its tables are, one a model.
        device: of torch.
        values: a CSV with a column path.
    """

    folders: list[Folder] = field(default_factory=list)
    recordings: str = ""
    models: list[str] = field(default_factory=list)
    out: Path = Path()
    device: str | None = None
    values: str = ""

    @classmethod
    def of_tables(
        cls, tables: Sequence[str], models: Sequence[str] = (), *, device: str | None = None, values: str = ""
    ) -> "Shelf":
        """Tables; ``models`` says where their weights are now, in the same order."""
        if len(tables) > MOST:
            raise InputError(f"{len(tables)} tables: the page shows {MOST} side by side at most")
        if models and len(models) != len(tables):
            raise InputError(f"--model is given {len(models)} times for {len(tables)} tables: once for each, in order")
        pairs = zip(tables, models or [""] * len(tables), strict=True)
        folders = [Folder(table, model=model, device=device, values=values) for table, model in pairs]
        return cls(folders, device=device, values=values)

    @classmethod
    def of_recordings(
        cls, recordings: str, models: Sequence[str], out: Path | None, *, device: str | None = None, values: str = ""
    ) -> "Shelf":
        """A folder of recordings; tables that were made of it before are opened."""
        from ..index import index

        place = Path(recordings)
        if not place.is_dir():
            raise InputError(f"{recordings}: no such folder")
        chosen = list(models) or [str(index().default)]
        if len(chosen) > MOST:
            raise InputError(f"{len(chosen)} models: the page shows {MOST} side by side at most")
        shelf = cls([], recordings, chosen, out or place.with_name(f"{place.resolve().name}-vectors"), device, values)
        if not shelf.missing:
            shelf.open()
        return shelf

    def table_of(self, model: str) -> Path:
        """Where the table of a model is, or will be."""
        return self.out / re.sub(r"[^\w.@-]+", "-", model)

    @property
    def missing(self) -> list[str]:
        """Models whose table is yet to be made."""
        return [model for model in self.models if not _is_complete(self.table_of(model))]

    def open(self) -> None:
        """Opens the tables of all models."""
        self.folders = [Folder(self.table_of(name), device=self.device, values=self.values) for name in self.models]

    def embed(self, report: Report, workers: int | None = None) -> None:
        """Makes the tables that are missing and opens all; a run that was stopped goes on."""
        for model in self.missing:
            lines = Lines(lambda line, model=model: report(f"{model}: {line}"))  # type: ignore[misc]
            report(f"{model}: starting")
            summary = embed_files(
                self.recordings,
                f"{self.table_of(model)}/",
                model,
                device=self.device,
                workers=workers,
                progress=lines,
            )
            if not summary.rows:
                raise InputError(f"{self.recordings}: no recording that can be read")
        self.open()


class Lines(io.StringIO):
    """A terminal for ``embed_files``, whose lines go to a function."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if line := re.sub(r"\r|\x1b\[K|\n", "", text):
            self.report(line)
        return len(text)


def _is_complete(table: Path) -> bool:
    """Whether a run ended there: one that was stopped has a plan, and is not said to be complete."""
    from ..bulk.output import Output

    if not table.is_dir() or not parts(table):
        return False
    run = Output(f"{table}/").run()
    return run is not None and run.complete
