"""Self-distillation: a student's distributions are to be those of its teacher, the moving average of its weights.

What keeps both from agreeing on one answer for everything is that the teacher's logits are centred on their running
mean and sharpened by a low temperature (Caron et al., arXiv 2104.14294, section 3.1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.layers import Linear

from .. import fsdp


class Prototypes(nn.Module):
    """Cosines between unit vectors and learnt directions, (..., width) -> (..., count).

    Args:
        scaled: whether the magnitudes of the directions are learnt as well; else they stay 1.
    """

    def __init__(self, width: int, count: int, *, scaled: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width).uniform_(-(width**-0.5), width**-0.5))
        self.scale = nn.Parameter(torch.ones(count, 1), requires_grad=scaled)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scale * F.normalize(self.weight, dim=1))


class Projector(nn.Module):
    """Tokens -> logits: one MLP for class and patch tokens, then prototypes of each kind, or the same for both.

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
        x = self.points(tokens)
        return self.cls(x[:, 0]), (self.patch or self.cls)(x[:, 1:])

    def points(self, tokens: Tensor) -> Tensor:
        """Where tokens lie on the unit sphere, (..., dim) -> (..., bottleneck)."""
        first, second, last = self.layers
        return F.normalize(last(F.gelu(second(F.gelu(first(tokens))))), dim=-1)

    def last(self) -> list[nn.Parameter]:
        """The parameters that may be held still at first."""
        kinds = [self.cls] if self.patch is None else [self.cls, self.patch]
        return [parameter for kind in kinds for parameter in kind.parameters()]


class Centre(nn.Module):
    """The running mean of a teacher's logits.

    What a step has seen is taken in by ``move`` only, so that evaluation, a failed step and a batch in parts leave the
    centre as it should be.
    """

    value: Tensor

    def __init__(self, count: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(count))
        self.seen: list[Tensor] = []

    def sharpened(self, logits: Tensor, temperature: float) -> Tensor:
        """The teacher's distributions, (..., count)."""
        return F.softmax((logits.float() - self.value) / temperature, dim=-1)

    def note(self, logits: Tensor) -> None:
        """Remembers the mean of logits (..., count)."""
        self.seen.append(logits.detach().float().flatten(0, -2).mean(0))

    def move(self) -> None:
        """Moves towards the mean of what was noted since, over all processes."""
        if not self.seen:
            return
        mean = torch.stack(self.seen).mean(0)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(mean)
            mean /= torch.distributed.get_world_size()
        self.value.lerp_(mean, 1 - self.momentum)
        self.seen.clear()


def cross_entropy(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Mean cross entropy of the student's logits under the teacher's distributions, both (..., count)."""
    return -(teacher * F.log_softmax(student.float() / temperature, dim=-1)).sum(-1).mean()


def cross_view_entropy(teacher: Sequence[Tensor], student: Sequence[Tensor], temperature: float) -> Tensor:
    """The same over all pairs of a teacher's view and another view of the student's, in equal parts.

    The views of the teacher come first among those of the student.
    """
    pairs = [
        cross_entropy(target, logits, temperature)
        for teacher_view, target in enumerate(teacher)
        for student_view, logits in enumerate(student)
        if teacher_view != student_view
    ]
    return torch.stack(pairs).mean()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Moves a teacher's weights towards the student's: teacher <- momentum * teacher + (1 - momentum) * student."""
    theirs = [fsdp.local_shard(parameter) for parameter in teacher.parameters()]
    ours = [fsdp.local_shard(parameter.detach()) for parameter in student.parameters()]
    torch._foreach_lerp_(theirs, ours, 1 - momentum)
