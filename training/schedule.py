"""How rates change over a run: pure functions of the step, so that a resumed run needs no state for them."""

import math


def warm_cosine(step: int, steps: int, peak: float, *, warmup: int = 0, start: float = 0.0, end: float = 0.0) -> float:
    """Linear from ``start`` to ``peak`` over ``warmup`` steps, then half a cosine to ``end`` at ``steps``."""
    if step < warmup:
        return start + (peak - start) * step / warmup
    return cosine(step - warmup, max(1, steps - warmup), peak, end)


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """Half a cosine from ``start`` to ``end``."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(step, steps) / steps))
