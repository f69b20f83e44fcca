"""What a run leaves to read: a line of JSON each few steps, and the same for TensorBoard."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from hear_audioformer.files import write_text


class Log:
    """``log.jsonl`` and TensorBoard events in a run's folder.

    Args:
        folder: of the run.
        step: at which the run goes on; lines from there on are from a run that was cut off, and are dropped.
        before: the folder of the run that this one branched off from; its lines come first.
    """

    def __init__(self, folder: Path, step: int, before: Path | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "log.jsonl"
        source = self.path if before is None else before / self.path.name
        kept = [line for line in read(source) if line["step"] <= step]
        write_text(self.path, dump(kept))  # atomic, so that a kill just now costs no line
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one line."""
        with open(self.path, "a") as file:
            file.write(dump([{"step": step, **values}]))
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        self.board.flush()

    def close(self) -> None:
        """Ends the writer's thread."""
        self.board.close()


def read(path: Path) -> list[dict[str, float]]:
    """The lines of a log, as far as they are whole."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
        except json.JSONDecodeError:  # the last line of a run that was killed
            break
        lines.append({name: math.nan if value is None else value for name, value in values.items()})
    return lines


def dump(lines: Iterable[Mapping[str, float]]) -> str:
    """Lines as a log holds them; JSON knows no NaN, so that is written as null."""
    kept = [{name: value if math.isfinite(value) else None for name, value in line.items()} for line in lines]
    return "".join(json.dumps(line) + "\n" for line in kept)
