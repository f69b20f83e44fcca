"""Layers that learn the slower the closer they are to the waveform: what they know is the most general."""

from collections.abc import Iterator

from torch import nn

from hear_audioformer.encoder import Encoder


def scales(encoder: Encoder, decay: float) -> dict[str, float]:
    """Factors on the learning rate by name of parameter: ``decay`` to the power of the layers between it and the head.

    The last norm learns at one, the last block at ``decay``, what comes before the first block slowest of all. An
    encoder's ``towers`` are counted each by itself; what is in none of them does not learn.
    """
    found: dict[str, float] = {}
    for tower in encoder.towers:
        network = encoder.get_submodule(tower)
        top, prefix = 1 + len(list(_blocks(network))), tower and f"{tower}."
        found |= {prefix + name: decay ** (top - layer) for name, layer in layer_numbers(network).items()}
    return found


def layer_numbers(encoder: nn.Module) -> dict[str, int]:
    """The layer of each parameter: 0 before the first block, k in the k-th, one more than there are behind the last.

    What stands between two blocks belongs to the later one. Blocks are the members of module lists.
    """
    prefixes = list(_blocks(encoder))
    if not prefixes:
        raise ValueError("the encoder keeps no blocks in a ModuleList, so layer decay cannot tell its layers")
    numbers, passed = {}, 0
    for name, _ in encoder.named_parameters():
        mine = next((k for k, prefix in enumerate(prefixes, start=1) if name.startswith(prefix)), None)
        passed = max(passed, mine or 0)
        numbers[name] = mine or (passed + 1 if passed else 0)
    return numbers


def _blocks(encoder: nn.Module, prefix: str = "") -> Iterator[str]:
    """Name prefixes of all blocks in order; of lists of lists, such as stages, the innermost members."""
    for name, module in encoder.named_children():
        here = f"{prefix}{name}."
        inner = list(_blocks(module, here))
        if isinstance(encoder, nn.ModuleList) and not inner:
            yield here
        else:
            yield from inner
