"""The contrast against its reference: every case, both kinds of anchors, gradients, the joint loss.

The file names its own cases; $GOLDENS may name a folder with another one of the same layout.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.golden_file import GoldenFile
from training.objectives.mpc import Anchors, joint, mpc, per_anchor

GOLDEN = GoldenFile("mpc")
CASES = sorted(name.removesuffix("_z") for name in GOLDEN.names if name.endswith("_z"))
IN_VARIANT = sorted(name for name in GOLDEN.names if name.endswith("_in_variant"))
GRADIENTS = sorted(name for name in GOLDEN.names if "_grad_" in name)
TOLERANCE = 1e-10  # of float64


def inputs(case: str) -> tuple[Tensor, Tensor, Tensor, float]:
    return GOLDEN[f"{case}_z"], GOLDEN[f"{case}_audio"], GOLDEN[f"{case}_view"], float(GOLDEN[f"{case}_temperature"])


def close(found: Tensor, name: str, tolerance: float = TOLERANCE) -> None:
    GOLDEN.close(found, name, tolerance)


@pytest.mark.parametrize("anchors", ["all", "first"])
@pytest.mark.parametrize("case", CASES)
def test_losses(case: str, anchors: Anchors) -> None:
    z, audio, view, temperature = inputs(case)
    loss = mpc(z, audio, view, temperature=temperature, anchors=anchors)
    close(loss, f"{case}_loss_{anchors}_loops")
    close(loss, f"{case}_loss_{anchors}_vectorised")
    single = mpc(z.float(), audio, view, temperature=temperature, anchors=anchors)
    assert abs(float(single) - float(loss)) < 1e-4 * max(1.0, float(loss))
    assert single.dtype == torch.float32


@pytest.mark.parametrize("anchors", ["all", "first"])
@pytest.mark.parametrize("case", CASES)
def test_every_anchor(case: str, anchors: Anchors) -> None:
    z, audio, view, temperature = inputs(case)
    losses, valid = per_anchor(z, audio, temperature)
    if anchors == "first":
        valid = valid & (view == 0)
    close(losses[valid], f"{case}_per_anchor_{anchors}")
    if f"{case}_anchor_index_{anchors}" in GOLDEN.names:
        assert torch.equal(valid.nonzero().flatten(), GOLDEN[f"{case}_anchor_index_{anchors}"])


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    case, rest = name.split("_grad_")
    anchors, kind = rest.split("_", 1)
    z, audio, view, temperature = inputs(case)
    z.requires_grad_()
    frozen = (view > 0)[:, None] & (kind == "frozen_views")
    mpc(torch.where(frozen, z.detach(), z), audio, view, temperature=temperature, anchors=anchors).backward()  # type: ignore[arg-type]
    assert z.grad is not None
    close(z.grad, name, 1e-9)


@pytest.mark.parametrize("name", IN_VARIANT)
def test_it_is_not_the_other_form(name: str) -> None:
    """Positives averaged inside the logarithm give less, unless there is one positive at most: then, the same."""
    z, audio, view, temperature = inputs(name.split("_loss_")[0])
    more = mpc(z, audio, view, temperature=temperature) - GOLDEN[name]
    if audio.unique(return_counts=True)[1].max() > 2:
        assert more > TOLERANCE
    else:
        assert abs(more) <= TOLERANCE


def test_joint_loss() -> None:
    mlc = F.binary_cross_entropy_with_logits(GOLDEN["joint_logits"], GOLDEN["joint_targets"])
    close(mlc, "joint_mlc")
    close(joint(mlc, GOLDEN["joint_mpc"], float(GOLDEN["joint_alpha"])), "joint_total")
