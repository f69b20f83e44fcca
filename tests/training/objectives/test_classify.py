"""The classifier: it hears what the embedder hears, its losses are the textbook's, frozen means frozen."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from evaluation.baselines import ast
from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.msm_mae import Config, MsmMae
from tests.conftest import small_audioformer
from training.data.labelled_clips import Batch
from training.data.specaugment import SpecAugment
from training.flops import flops_per_crop
from training.objectives.classify import Classifier

LENGTHS = (700, 4000, 4000, 15000, 15360, 40000)  # less than a window, a window of 96 frames, several


def clips(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


def batch(classes: int = 3) -> Batch:
    targets = torch.eye(classes)[torch.arange(len(LENGTHS)) % classes]
    return Batch(pad_sequence(clips(), batch_first=True), list(LENGTHS), targets)


@pytest.mark.parametrize("pool", ["mean", "mean+std"])
def test_training_hears_what_inference_hears(encoder: Encoder, pool: Any) -> None:
    """Clips of all lengths in one batch, held against the embedder's vectors of the clips alone; dropout aside."""
    objective = Classifier(encoder, 3, 16000, pool=pool).eval()
    heard = objective.vectors(batch().audio, LENGTHS)
    embedder = Embedder(encoder, pool=pool, precision="fp32")
    wanted = torch.cat([embedder.scene(clip[None]) for clip in clips()])
    assert torch.allclose(heard, wanted, atol=1e-4 if pool == "mean" else 1e-3)
    assert heard.requires_grad


@pytest.mark.parametrize("layers", [None, [-1], [2, 1]])
def test_it_hears_the_layers_that_it_is_told(encoder: Encoder, layers: Any) -> None:
    """By default those of the embedder: of MAST all stages."""
    heard = Classifier(encoder, 3, 16000, layers=layers).eval().vectors(batch().audio, LENGTHS)
    embedder = Embedder(encoder, layers=layers, precision="fp32")
    assert torch.allclose(heard, torch.cat([embedder.scene(clip[None]) for clip in clips()]), atol=1e-4)


def test_labels_may_be_smoothed() -> None:
    """A tenth of the label lies on all three classes alike; of several labels nothing does."""
    torch.manual_seed(0)
    vectors, targets = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 2]]
    losses = {}
    for loss in ("ce", "bce"):
        for smoothing in (0.0, 0.1):
            made = Classifier(
                MsmMae(Config(width=8, depth=1, heads=1, bands=16)), 3, 16000, loss=loss, smoothing=smoothing
            )  # type: ignore[arg-type]
            torch.nn.init.normal_(made.head.linear.weight, generator=torch.Generator().manual_seed(0))
            losses[loss, smoothing] = made.judge(vectors, targets)[0]
            logits = made.head(vectors)
    wanted = -((0.9 * targets + 0.1 / 3) * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(losses["ce", 0.1], wanted)
    assert not torch.allclose(losses["ce", 0.0], wanted)
    assert torch.equal(losses["bce", 0.0], losses["bce", 0.1])


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_ast_is_heard_as_it_embeds(pool: str) -> None:
    torch.manual_seed(0)
    encoder = ast.Ast(ast.Config(width=24, depth=2, heads=2, frames=96)).eval()
    heard = Classifier(encoder, 3, 16000, pool=pool).vectors(batch().audio, LENGTHS)
    embedder = Embedder(encoder, pool=pool, precision="fp32")
    assert torch.allclose(heard, torch.cat([embedder.scene(clip[None]) for clip in clips()]), atol=1e-4)


def test_windows_are_filled_up_where_the_model_wants_it() -> None:
    torch.manual_seed(0)
    encoder = MsmMae(Config(width=24, depth=1, heads=2, frames=96, short="pad"))
    wanted = Embedder(encoder, pool="mean").scene(clips())
    assert torch.allclose(Classifier(encoder, 2, 16000).vectors(batch().audio, LENGTHS), wanted, atol=1e-4)


def random_head(objective: Classifier) -> Classifier:
    torch.nn.init.normal_(objective.head.linear.weight)
    return objective


def test_losses_are_those_of_shared_labels(encoder: Encoder) -> None:
    told = batch()._replace(targets=torch.rand(len(LENGTHS), 3).softmax(1))
    objective = random_head(Classifier(encoder, 3, 16000, loss="ce")).eval()
    logits = objective.head(objective.vectors(told.audio, told.lengths))
    loss, logs = objective(told, 0)
    assert loss.item() == pytest.approx(-(told.targets * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)
    assert logs["accuracy"].item() == pytest.approx((logits.argmax(1) == told.targets.argmax(1)).float().mean().item())
    objective.loss = "bce"
    wanted = -(told.targets * F.logsigmoid(logits) + (1 - told.targets) * F.logsigmoid(-logits)).mean()
    assert objective(told, 0)[0].item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize(("mode", "moved"), [("full", True), ("layer-decay", True), ("frozen", False)])
def test_only_a_frozen_encoder_gets_no_gradient(encoder: Encoder, mode: Any, moved: bool) -> None:
    objective = random_head(Classifier(encoder, 3, 16000, mode=mode))
    objective(batch(), 0)[0].backward()
    assert any(p.grad is not None and p.grad.any() for p in objective.encoder.parameters()) is moved
    assert objective.head.linear.weight.grad is not None
    assert objective.encoder.training is moved
    forward, both = flops_per_crop(objective), flops_per_crop(objective, backward=True)
    assert both > 1.2 * forward if moved else both < 1.1 * forward


def test_spectrograms_are_masked_in_training_alone(encoder: Encoder) -> None:
    """What the mask hides is zero in what the encoder gets, no code where it gets codes; all else is the front end's,
    to the bit."""
    audio = torch.stack(clips((15000,) * 8))
    plain = encoder.features(audio, 0, encoder.count(15000), encoder.clip_context(audio))
    codes = not plain.is_floating_point()
    objective = Classifier(encoder, 3, 16000, mask=SpecAugment(bands=0.0 if codes else 0.5, frames=0.5))
    got: list[torch.Tensor] = []
    encode = encoder.pooled_layers

    def noted(features: torch.Tensor, *rest: Any) -> torch.Tensor:
        got.append(features)
        return encode(features, *rest)

    encoder.pooled_layers = noted  # type: ignore[method-assign]
    objective.vectors(audio, [15000] * 8)
    masked = got[0][:, : plain.shape[1]]
    hidden = masked != plain
    assert (masked[hidden] == (-1 if codes else 0)).all()
    assert 0.1 < hidden.float().mean() < 0.9
    objective.eval()
    objective.vectors(audio, [15000] * 8)
    assert torch.equal(got[1][:, : plain.shape[1]], plain)


def test_stochastic_depth_is_refused_where_blocks_know_none() -> None:
    with pytest.raises(ValueError, match=r"drop_path=0\.2: the blocks of Audioformer have none; set drop_path=0"):
        Classifier(small_audioformer(), 3, 16000, drop_path=0.2)


def test_features_keep_their_precision_under_autocast(encoder: Encoder) -> None:
    objective = Classifier(encoder, 3, 16000)
    audio = torch.stack(clips((4000, 4000)))
    front, count = objective.front_end(), encoder.count(4000)
    expected = front.features(audio, 0, count, front.clip_context(audio))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(front.features(audio, 0, count, front.clip_context(audio)), expected)


def test_flops_are_counted_of_whole_clips(encoder: Encoder) -> None:
    short, long = (flops_per_crop(Classifier(encoder, 3, round(2.4 * 16000 * windows))) for windows in (1, 4))
    assert 3 < long / short < 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": 1.0}, "smoothing=1.0: must be at least 0 and less than 1"),
        ({"mode": "half"}, "mode=half: choose one of full, frozen"),
        ({"loss": "mse"}, "choose one of ce, bce"),
        ({"decay": 0.0}, "above 0"),
        ({"pool": "max"}, "max"),
    ],
)
def test_senseless_options_are_refused(encoder: Encoder, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(encoder, 3, 16000, **options)
