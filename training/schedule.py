"""How rates change over a run: pure functions of the step, so that a resumed run needs no state for them."""

import math


def warm_cosine(step: int, steps: int, peak: float, *, warmup: int = 0, start: float = 0.0, end: float = 0.0) -> float:
    """Linear from ``start`` to ``peak`` over ``warmup`` steps, then half a cosine to ``end`` at ``steps``."""
    if step < warmup:
        return start + (peak - start) * step / warmup
    return cosine(step - warmup, max(1, steps - warmup), peak, end)


def warmup_stable_decay(
    step: int, steps: int, peak: float, *, warmup: int = 0, cooldown: int = 0, end: float = 0.0
) -> float:
    """Linear to ``peak`` over ``warmup`` steps, constant, then down to ``end`` over the last ``cooldown`` of ``steps``.

    The decay is that of Hägele et al. 2024 (arXiv 2405.18392), one minus a square root. Before it nothing depends on
    ``steps``, so that a run can be made longer, or ended early from any of its checkpoints.
    """
    if step < warmup:
        return peak * step / warmup
    cooled = (step - (steps - cooldown)) / max(1, cooldown)
    return peak if cooled <= 0 else end + (peak - end) * (1 - math.sqrt(min(1.0, cooled)))


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """Half a cosine from ``start`` to ``end``."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(step, steps) / steps))
