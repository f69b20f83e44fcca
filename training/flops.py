"""What a step costs and what a device could do: the two halves of MFU."""

import copy
import re
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

# Dense tensor-core peaks of 16-bit matrix products, from the makers' data sheets; float32 runs at an eighth or less.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "T4": 65e12}


def flops_per_crop(objective: Any, *, backward: bool = False) -> float:
    """FLOPs of one crop's forward pass, and its backward pass if told so; fused attention is counted too.

    Counted on the meta device and not taken as three times the forward pass: a teacher, or a frozen encoder, has no
    backward pass. An objective that learns from more than crops says by ``example`` what a batch of it looks like.
    """
    model = copy.deepcopy(objective).to("meta")
    batch = model.example(2) if hasattr(model, "example") else torch.zeros(2, objective.crop, device="meta")
    with torch.set_grad_enabled(backward), FlopCounterMode(display=False) as counter:
        loss, _ = model(batch, 0)
        if backward:
            loss.backward()
    return counter.get_total_flops() / 2


def peak_flops(device: torch.device, precision: str) -> float:
    """The most FLOP/s a device could do: from its data sheet if it is known, else what a large matrix product gets."""
    if device.type == "cuda" and "16" in precision:
        name = torch.cuda.get_device_name(device)
        for model, peak in PEAKS.items():
            if re.search(rf"\b{model}\b", name):
                return peak
    dtype = torch.bfloat16 if "bf16" in precision else torch.float16 if "16" in precision else torch.float32
    size = 4096 if device.type == "cuda" else 1024
    matrix = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
