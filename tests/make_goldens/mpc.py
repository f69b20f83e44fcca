"""The contrast, in loops."""

from math import exp, log
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.make_goldens.common import Draws, save

CASES = {  # audios, views of each, dim, temperature
    "other": {"two_views": ([2, 2, 2], 5, 0.2), "many": ([4, 1, 3, 2], 7, 0.5), "mild": ([3, 3], 3, 20.0)},
    "least": {"pair": ([2], 2, 0.05)},
}


def similarities(z: Tensor, temperature: float) -> Tensor:
    unit = z / z.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return unit @ unit.T / temperature


def by_loops(z: Tensor, audio: list[int], anchors: list[int], temperature: float, inside: bool) -> list[float]:
    """The loss of each anchor; positives averaged outside the logarithm, or inside."""
    s = similarities(z, temperature).tolist()
    losses = []
    for i in anchors:
        total = log(sum(exp(s[i][a]) for a in range(len(s)) if a != i))
        shares = [s[i][p] - total for p in range(len(s)) if p != i and audio[p] == audio[i]]
        mean = sum(shares) / len(shares)
        losses.append(-(log(sum(map(exp, shares)) / len(shares)) if inside else mean))
    return losses


def by_matrices(z: Tensor, audio: Tensor, anchors: list[int], temperature: float) -> Tensor:
    s = similarities(z, temperature) - torch.diag(torch.full((len(z),), torch.inf, dtype=torch.float64))
    partners = (audio[:, None] == audio) & ~torch.eye(len(z), dtype=torch.bool)
    shares = s - s.logsumexp(1, keepdim=True)
    return torch.stack([-shares[i][partners[i]].mean() for i in anchors]).mean()


def case(d: Draws, views: list[int], dim: int, temperature: float) -> dict:
    audio = torch.tensor([a for a, count in enumerate(views) for _ in range(count)])
    view = torch.tensor([v for count in views for v in range(count)])
    z = d.normal(len(audio), dim)
    found = {"z": z, "audio": audio, "view": view, "temperature": torch.tensor(temperature, dtype=torch.float64)}
    able = [i for i, a in enumerate(audio.tolist()) if views[a] > 1]
    for kind, anchors in (("all", able), ("first", [i for i in able if not view[i]])):
        losses = by_loops(z, audio.tolist(), anchors, temperature, inside=False)
        found |= {f"loss_{kind}_loops": sum(losses) / len(losses), f"per_anchor_{kind}": torch.tensor(losses).double()}
        found[f"per_anchor_{kind}"] = torch.tensor(losses, dtype=torch.float64)
        found[f"loss_{kind}_vectorised"] = by_matrices(z, audio, anchors, temperature)
        found[f"anchor_index_{kind}"] = torch.tensor(anchors)
        for name, frozen in (("frozen_views", view > 0), ("all_trainable", view < 0)):
            leaf = z.clone().requires_grad_()
            mixed = torch.where(frozen[:, None], z, leaf)
            by_matrices(mixed, audio, anchors, temperature).backward()
            found[f"grad_{kind}_{name}"] = leaf.grad
    inside = by_loops(z, audio.tolist(), able, temperature, inside=True)
    return {**found, "loss_all_in_variant": sum(inside) / len(inside)}


def write(folder: Path, kind: str) -> None:
    d = Draws(12)
    arrays = {}
    for name, shape in CASES[kind].items():
        arrays |= {f"{name}_{key}": value for key, value in case(d, *shape).items()}
    logits, targets = d.normal(2, 3), (d.uniform(2, 3) > 0.5).double()
    mlc = -(targets * F.logsigmoid(logits) + (1 - targets) * F.logsigmoid(-logits)).mean()
    joint = {"logits": logits, "targets": targets, "alpha": torch.tensor(0.97, dtype=torch.float64), "mlc": mlc}
    joint |= {"mpc": torch.tensor(1.5, dtype=torch.float64), "total": 0.97 * mlc + 0.03 * 1.5}
    save(folder, "mpc", {"loss": "SupCon L_out"}, {**arrays, **{f"joint_{k}": v for k, v in joint.items()}}, exact=True)
