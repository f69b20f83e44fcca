"""Where a rounded product would be wrong: parts of a step that autocast must leave in float32."""

from contextlib import AbstractContextManager, nullcontext

import torch


def float32(device: torch.device) -> AbstractContextManager:
    """No autocast inside, on any device that has it."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
