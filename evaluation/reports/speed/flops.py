"""What a run computes, counted while it runs."""

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hear_audioformer import onednn


def flops_of(run: Callable[[], object]) -> int:
    """FLOPs of a run: its matrix products and convolutions, front end and attention included.

    The counter sees no fused attention on a CPU and none of oneDNN's layers, so both are written out for the count.
    """
    with onednn.chosen(False), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
