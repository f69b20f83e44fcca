"""Layer-wise learning rate decay: earlier layers, whose features are more general, have lower rates."""

from collections.abc import Iterator

from torch import nn

from hear_audioformer.encoder import Encoder


def scales(encoder: Encoder, decay: float) -> dict[str, float]:
    """Factors on the learning rate by name of parameter: ``decay`` to the power of the layers between it and the head.

    The last norm has factor one, the last block ``decay``; parameters before the first block have the smallest. Layers
    of the encoder's ``towers`` are counted separately. Parameters outside all towers are not trained.
    """
    factors: dict[str, float] = {}
    for tower in encoder.towers:
        network = encoder.get_submodule(tower)
        top, prefix = 1 + len(list(_blocks(network))), tower and f"{tower}."
        factors |= {prefix + name: decay ** (top - layer) for name, layer in layer_numbers(network).items()}
    return factors


def layer_numbers(encoder: nn.Module) -> dict[str, int]:
    """The layer of each parameter: 0 before the first block, k in the k-th of n blocks, n + 1 after the last.

    A parameter between two blocks belongs to the later one. Blocks are the members of module lists.
    """
    prefixes = list(_blocks(encoder))
    if not prefixes:
        raise ValueError("the encoder keeps no blocks in a ModuleList, so layer decay cannot tell its layers")
    numbers, passed = {}, 0
    for name, _ in encoder.named_parameters():
        block = next((k for k, prefix in enumerate(prefixes, start=1) if name.startswith(prefix)), None)
        passed = max(passed, block or 0)
        numbers[name] = block or (passed + 1 if passed else 0)
    return numbers


def _blocks(encoder: nn.Module, prefix: str = "") -> Iterator[str]:
    """Name prefixes of all blocks in order; of nested lists, such as stages, the innermost members."""
    for name, module in encoder.named_children():
        path = f"{prefix}{name}."
        inner = list(_blocks(module, path))
        if isinstance(encoder, nn.ModuleList) and not inner:
            yield path
        else:
            yield from inner
