"""What a listing passed over, and why, in memory that does not grow with the number of files."""

from dataclasses import dataclass, field


@dataclass
class Skipped:
    """Reasons, each with how often it came up and the first path it came up for."""

    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: str, path: str) -> None:
        count, first = self.reasons.get(reason, (0, path))
        self.reasons[reason] = count + 1, first

    @property
    def count(self) -> int:
        """All that was passed over."""
        return sum(count for count, _ in self.reasons.values())

    def lines(self) -> list[str]:
        """A line for each reason, to print."""
        return [f"skipped {count}: {reason} (first: {path})" for reason, (count, path) in self.reasons.items()]
