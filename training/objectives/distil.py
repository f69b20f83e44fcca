"""Self-distillation: a student predicts the distributions of its teacher, the EMA of its own weights.

The teacher's logits are centred on their running mean and sharpened by a low temperature, which prevents the collapse
to one output for all inputs (Caron et al., "DINO", arXiv 2104.14294, section 3.1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.layers import Linear

from .. import fsdp


class Prototypes(nn.Module):
    """A weight-normalised linear layer: cosines of unit vectors with learnt prototypes, (..., width) -> (..., count).

    Args:
        scaled: whether the magnitudes of the prototypes are learnt; else they stay 1.
    """

    def __init__(self, width: int, count: int, *, scaled: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width).uniform_(-(width**-0.5), width**-0.5))
        self.scale = nn.Parameter(torch.ones(count, 1), requires_grad=scaled)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scale * F.normalize(self.weight, dim=1))


class Projector(nn.Module):
    """DINO's head: tokens -> logits. One MLP for class and patch tokens, then prototypes of each kind or shared ones.

    Args:
        dim: width of the tokens.
        hidden, bottleneck: of the MLP.
        cls, patch: prototypes for class and patch tokens.
        shared: whether the class tokens' prototypes, with learnt magnitudes, serve the patches too.
    """

    def __init__(self, dim: int, *, hidden: int, bottleneck: int, cls: int, patch: int, shared: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Linear(dim, hidden), Linear(hidden, hidden), Linear(hidden, bottleneck)])
        self.cls = Prototypes(bottleneck, cls, scaled=shared)
        self.patch = None if shared else Prototypes(bottleneck, patch)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens, CLS first, (crops, 1 + patches, dim) -> logits (crops, cls) and (crops, patches, patch)."""
        x = self.project(tokens)
        return self.cls(x[:, 0]), (self.patch or self.cls)(x[:, 1:])

    def project(self, tokens: Tensor) -> Tensor:
        """The MLP's output at unit length, (..., dim) -> (..., bottleneck)."""
        first, second, last = self.layers
        return F.normalize(last(F.gelu(second(F.gelu(first(tokens))))), dim=-1)

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the prototypes, which may be frozen at the start of training."""
        kinds = [self.cls] if self.patch is None else [self.cls, self.patch]
        return [parameter for kind in kinds for parameter in kind.parameters()]


class Centre(nn.Module):
    """The running mean of a teacher's logits.

    ``note`` collects the means of a step, and only ``update`` changes the centre. So evaluation and failed steps do not
    change it, and a step of several micro-batches changes it once.
    """

    value: Tensor

    def __init__(self, count: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(count))
        self.batch_means: list[Tensor] = []

    def sharpened(self, logits: Tensor, temperature: float) -> Tensor:
        """The teacher's distributions, (..., count)."""
        return F.softmax((logits.float() - self.value) / temperature, dim=-1)

    def note(self, logits: Tensor) -> None:
        """Collects the mean of logits (..., count)."""
        self.batch_means.append(logits.detach().float().flatten(0, -2).mean(0))

    def update(self) -> None:
        """Moves the centre towards the mean of the collected means, over all processes."""
        if not self.batch_means:
            return
        mean = torch.stack(self.batch_means).mean(0)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(mean)
            mean /= torch.distributed.get_world_size()
        self.value.lerp_(mean, 1 - self.momentum)
        self.batch_means.clear()


def cross_entropy(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Mean cross entropy of the student's logits under the teacher's distributions, both (..., count)."""
    return -(teacher * F.log_softmax(student.float() / temperature, dim=-1)).sum(-1).mean()


def cross_view_entropy(teacher: Sequence[Tensor], student: Sequence[Tensor], temperature: float) -> Tensor:
    """Mean cross entropy over all pairs of a view of the teacher and another view of the student.

    The first views of the student are those of the teacher.
    """
    losses = [
        cross_entropy(target, logits, temperature)
        for teacher_view, target in enumerate(teacher)
        for student_view, logits in enumerate(student)
        if teacher_view != student_view
    ]
    return torch.stack(losses).mean()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Updates the teacher's weights: teacher <- momentum * teacher + (1 - momentum) * student."""
    teacher_weights = [fsdp.local_shard(parameter) for parameter in teacher.parameters()]
    student_weights = [fsdp.local_shard(parameter.detach()) for parameter in student.parameters()]
    torch._foreach_lerp_(teacher_weights, student_weights, 1 - momentum)
