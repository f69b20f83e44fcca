"""Rows of a table of embeddings, as the worker makes them and part files hold them."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Some rows of the table, column by column.

    Attributes:
        path: of each row's recording, valid UTF-8.
        offset: where the row's stretch of sound begins, in seconds; of timestamps the centre of the frame.
        seconds: how long it is; of timestamps the step between frames.
        sample_rate: of the recording as it is stored, in Hz.
        embedding: (rows, dim), float32 or float16.
    """

    path: list[str]
    offset: np.ndarray
    seconds: np.ndarray
    sample_rate: np.ndarray
    embedding: np.ndarray

    @classmethod
    def of(cls, path: str, sample_rate: int, offset: np.ndarray, seconds: np.ndarray, embedding: np.ndarray) -> "Rows":
        """The rows of one recording."""
        count = len(embedding)
        return cls(
            [path] * count,
            np.asarray(offset, np.float64),
            np.asarray(seconds, np.float64),
            np.full(count, sample_rate, np.int32),
            embedding,
        )

    @classmethod
    def joined(cls, parts: "list[Rows]") -> "Rows":
        """One after the other; there must be one at least."""
        return cls(
            [path for part in parts for path in part.path],
            np.concatenate([part.offset for part in parts]),
            np.concatenate([part.seconds for part in parts]),
            np.concatenate([part.sample_rate for part in parts]),
            np.concatenate([part.embedding for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.path)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a recording.

    Attributes:
        file: its number in the plan.
        path: valid UTF-8.
        error: why it has no row, or what is odd about its row.
        time: when this was found, UTC, ISO 8601.
        fatal: whether it has no row.
    """

    file: int
    path: str
    error: str
    time: str
    fatal: bool = True


@dataclass
class Footer:
    """What a part file knows beside its rows.

    Attributes:
        keys: number of a file in the plan -> its size and time of change before it was decoded.
        troubles: files without a row, and files with an odd one.
        rows: number of rows in the part.
    """

    keys: dict[int, tuple[int, int]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    rows: int = 0
