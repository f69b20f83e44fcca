"""What was measured, a cell a line of JSON: the command given again measures only what is missing."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .cells import Row


@dataclass(frozen=True)
class Cell:
    """Contenders that ran side by side on clips of one length, in batches of one size.

    Attributes:
        group: the method and size that the contenders belong to.
        seconds: length of a clip.
        batch: clips in a call.
        rounds: the median of so many.
        machine: processor, threads, torch and clock, as one line.
        load: of the machine when the cell began: 1 is one busy core.
        rows: a contender's figures each.
    """

    group: str
    seconds: float
    batch: int
    rounds: int
    machine: str
    load: float
    rows: tuple[Row, ...]

    def holds(self, group: str, seconds: float, batch: int, names: Iterable[str]) -> bool:
        """Whether these contenders were measured here."""
        same = (self.group, self.seconds, self.batch) == (group, seconds, batch)
        return same and {*names} <= {row.name for row in self.rows}


def machine_line(device: torch.device, clock: str) -> str:
    """The machine and how its time is counted."""
    if device.type == "cuda":
        chip = torch.cuda.get_device_name(device)
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        named = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
        family = "".join(
            f", {word} {named[key]}" for key, word in (("cpu family", "family"), ("model", "model")) if key in named
        )
        chip = f"{named.get('model name', platform.machine())}{family}, {torch.backends.cpu.get_cpu_capability()}"
    threads = torch.get_num_threads()
    count = f"{threads} thread{'s' * (threads > 1)}"
    return f"{chip}; {count}; torch {torch.__version__}; {clock} seconds"


def load_now() -> float:
    """Processes that want a core, over the last minute."""
    return round(os.getloadavg()[0], 1)


def read(path: Path) -> list[Cell]:
    """The cells of a file; a file that is not there has none."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [Cell(**{**line, "rows": tuple(Row(**row) for row in line["rows"])}) for line in lines]


def write(path: Path, cells: Iterable[Cell]) -> None:
    """Replaces a file by these cells; it is whole at any instant."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text("".join(f"{json.dumps(asdict(cell))}\n" for cell in cells))
    beside.replace(path)


def merged(cells: Iterable[Cell], new: Cell) -> list[Cell]:
    """The cells with a new one in the place of those that it holds."""
    kept = [
        cell for cell in cells if not new.holds(cell.group, cell.seconds, cell.batch, (row.name for row in cell.rows))
    ]
    return [*kept, new]
