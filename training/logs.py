"""What a run leaves to read: a line of JSON each few steps, and the same for TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path


class Log:
    """``log.jsonl`` and TensorBoard events in a run's folder.

    Args:
        folder: of the run.
        step: at which the run goes on; lines from there on are from a run that was cut off, and are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "log.jsonl"
        kept = [line for line in read(self.path) if line["step"] <= step]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one line."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
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
            lines.append(json.loads(line))
        except json.JSONDecodeError:  # the last line of a run that was killed
            break
    return lines
