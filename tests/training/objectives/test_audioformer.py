"""AudioFormer's objectives: what is guessed and from what, frozen views, both stages, fine-tuning, export."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hear_audioformer.audioformer import Audioformer
from hear_audioformer.audioformer.language import pooled
from hear_audioformer.embedder import Embedder
from tests.conftest import learn_codebooks, small_audioformer
from training.data.codes import heard
from training.data.labelled_clips import Batch
from training.flops import flops_per_crop
from training.objectives import keep_fixed, masked_lm, no_decay
from training.objectives.audioformer import AudioformerObjective, FrozenViews, build, initialise, words_from_codec
from training.objectives.classify import Classifier
from training.objectives.ft2 import Contrast, ContrastClassifier
from training.objectives.mpc import mpc, rank, separation

LAYOUTS = ["shared", "separate", "summed"]


def small(**options: Any) -> Audioformer:
    torch.manual_seed(0)
    encoder = small_audioformer(**options)
    learn_codebooks(encoder.codec)
    encoder.adopt(encoder.codec, "mine")
    return encoder


def sounds(clips: int) -> Tensor:
    """Bursts of noise of several levels, a second each: their codes vary, and are not each other's."""
    generator = torch.Generator().manual_seed(0)
    envelope = torch.rand(clips, 50, generator=generator).repeat_interleave(320, dim=1)
    return torch.randn(clips, 16000, generator=generator) * envelope


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_few_steps_lower_the_loss(layout: str) -> None:
    made = AudioformerObjective(small(layout=layout, dropout=0.0))
    optimiser = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=3e-3)
    audio, losses, logs = sounds(2), [], {}
    codec = copy.deepcopy(made.encoder.codec.state_dict())
    for step in range(25):
        torch.manual_seed(step % 5)
        loss, logs = made(audio, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(32), rel=0.1)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert set(logs) == {"accuracy", "copy_accuracy", "masked_share", "unigram_entropy"}
    assert all(torch.equal(codec[name], tensor) for name, tensor in made.encoder.codec.state_dict().items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_guesses_do_not_see_what_they_guess(layout: str) -> None:
    """With every chosen place masked, other codes there change what is wanted and not what is guessed."""
    made = AudioformerObjective(small(layout=layout)).eval()
    codes = made.encoder.clip_context(sounds(2)).long()  # type: ignore[union-attr]
    chosen = torch.zeros(2, 50, dtype=torch.bool)
    chosen[:, 10:20] = True
    other = torch.where(chosen[..., None], (codes + 1) % 32, codes)
    with torch.no_grad():
        for sequence in range(made.encoder.config.sequences):
            states = [made.encoder.read(c, sequence, chosen)[-1] for c in (codes, other)]
            assert torch.equal(*states)
            assert not torch.equal(made.encoder.read(codes, sequence)[-1], made.encoder.read(other, sequence)[-1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_guesses_are_about_the_right_codebook(layout: str) -> None:
    """A bias of the head on one code of one codebook shows in that codebook's guesses alone."""
    made = AudioformerObjective(small(layout=layout)).eval()
    states = torch.zeros(1, 3, 16)
    head = made.mlm[0 if layout == "shared" else 1]
    with torch.no_grad():
        head.bias[made.encoder.rows(1) + 7] = 100  # type: ignore[index]
        assert made.guess(states, 1).argmax(-1).flatten().tolist() == [7, 7, 7]
        assert made.guess(states, 1).shape == (1, 3, 32)
        assert float(made.guess(states, 0).max()) < 50


def test_silence_is_left_out() -> None:
    made = AudioformerObjective(small())
    audio = sounds(3)
    audio[0, 5 * 320 : 20 * 320] = 0
    audio[1, 4 * 320 :] = 1e-5
    there = made.audible(heard(audio, 320))
    assert there[0].tolist() == [True] * 5 + [False] * 15 + [True] * 30
    assert not there[1].any()  # 46 of 50 frames hold nothing
    assert there[2].all()
    loss, _ = made(torch.zeros(2, 16000), 0)
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_the_copy_baseline_of_a_constant_sound_is_perfect() -> None:
    made = AudioformerObjective(small())
    codes = torch.full((2, 50, 2), 5)
    _, logs = made.masked(codes, torch.ones(2, 50, dtype=torch.bool))
    assert float(logs["copy_accuracy"]) > 0.9  # but where nothing comes before
    assert float(logs["unigram_entropy"]) == pytest.approx(0, abs=1e-6)


def test_frozen_views_stay_as_they_are() -> None:
    made = AudioformerObjective(small(dropout=0.5), contrast=True)
    made.train()
    assert made.frozen is not None
    assert not any(module.training for module in made.frozen.modules())
    assert not any(p.requires_grad for p in made.frozen.parameters())
    codes = made.encoder.clip_context(sounds(2)).long()  # type: ignore[union-attr]
    with torch.no_grad():
        for p in made.encoder.backbones.parameters():
            p.add_(0.1)
    first, second = (made.frozen(codes, [0, 1]) for _ in range(2))
    with torch.no_grad():
        wanted = [pooled(small().eval().read(codes, sequence)[-1]) for sequence in range(2)]
    for sequence in range(2):
        assert torch.equal(first[sequence], second[sequence])
        assert torch.equal(first[sequence], wanted[sequence])


def test_each_codebook_takes_its_turn_in_stage_two() -> None:
    made = AudioformerObjective(small(layout="separate", trained=3), contrast=True, alpha=0.0)
    audio = sounds(4)
    for step in range(4):
        made.zero_grad()
        loss, logs = made(audio, step)
        loss.backward()
        moved = [any(p.grad is not None and p.grad.any() for p in one.parameters()) for one in made.encoder.backbones]
        assert moved == [k == step % 3 for k in range(3)]
        assert loss.item() == pytest.approx(logs["contrast"].item())
        assert {"masked", "separation", "rank"} <= set(logs)


def test_the_contrast_pulls_views_together() -> None:
    made = AudioformerObjective(small(dropout=0.0), contrast=True, alpha=0.0)
    optimiser = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=3e-3)
    audio, apart = sounds(6), []
    for _ in range(20):
        loss, logs = made(audio, 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        apart.append(float(logs["separation"]))
    assert apart[-1] > apart[0] + 0.02


def test_separation_and_rank() -> None:
    vectors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
    assert float(separation(vectors, torch.tensor([0, 1, 0, 1]))) == pytest.approx(1)
    assert float(separation(vectors, torch.tensor([0, 0, 1, 1]))) == pytest.approx(-0.5)
    torch.manual_seed(0)
    assert float(rank(torch.randn(200, 1) @ torch.randn(1, 9))) == 1
    assert float(rank(torch.randn(200, 9))) in (8, 9)


def test_weight_decay_spares_tables_and_norms() -> None:
    made = AudioformerObjective(small())
    decayed = {name for name, _ in made.named_parameters()} - no_decay(made)
    assert any(name.endswith("query.weight") for name in decayed)
    assert not [name for name in decayed if "embeddings" in name or "LayerNorm" in name or name.endswith("bias")]


def test_costs_can_be_counted_without_a_codec() -> None:
    made = AudioformerObjective(small_audioformer(), contrast=True)
    assert flops_per_crop(made) > 0
    with pytest.raises(ValueError, match="has no trained codec: name one"):
        made(sounds(2), 0)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ({"codebooks": 1}, {"contrast": True}, "needs several code sequences"),
        ({"layout": "summed"}, {"contrast": True}, "needs several code sequences"),
        ({}, {"share": 0.0}, "masks take a share between 0 and 1"),
        ({}, {"mode": "word"}, 'mode=.word.: masks take .* "token" or "span"'),
        ({}, {"words": "none"}, 'choose "random" or "codec"'),
    ],
)
def test_impossible_options_say_why(sizes: dict, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(small(**sizes), **options)


def test_words_of_no_codec_are_refused() -> None:
    with pytest.raises(ValueError, match="words=codec needs a trained codec"):
        build(small_audioformer(), words="codec")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_words_that_lie_as_the_codec_has_them(layout: str) -> None:
    encoder = small(layout=layout, width=64, heads=4)
    words_from_codec(encoder)
    for number, codebook in enumerate(encoder.codec.quantizer.codebooks):
        backbone: Any = encoder.backbones[number if layout == "separate" else 0]
        words = backbone.words(torch.arange(32) + encoder.rows(number)).detach()
        if layout != "summed" or number == 0:
            assert float(words.std()) == pytest.approx(0.02, rel=0.01)
        found, wanted = torch.pdist(words), torch.pdist(codebook.embed)
        assert (found / found.max() - wanted / wanted.max()).abs().max() < 1e-3


def test_summed_words_lie_as_what_their_codes_stand_for() -> None:
    """All codebooks are turned and scaled alike, so distances of sums are those of the codec's own sums."""
    encoder = small(layout="summed", width=64, heads=4)
    words_from_codec(encoder)
    codes = torch.randint(32, (2, encoder.config.trained, 20))
    table = encoder.backbones[0].embeddings.word_embeddings.weight.detach()  # type: ignore[union-attr]
    found = sum(table[codes[:, k] + encoder.rows(k)] for k in range(encoder.config.trained)).flatten(0, 1)
    wanted = encoder.codec.quantizer.decode(codes).mT.flatten(0, 1)
    found, wanted = torch.pdist(found), torch.pdist(wanted)
    assert (found / found.max() - wanted / wanted.max()).abs().max() < 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_loss_is_of_chosen_places_alone(layout: str) -> None:
    """Held against logits everywhere, of which those at chosen places count."""
    objective = AudioformerObjective(small(layout=layout, dropout=0.0), share=0.3)
    config = objective.encoder.config
    codes, allowed = torch.randint(32, (3, 20, config.trained)), torch.ones(3, 20, dtype=torch.bool)
    allowed[0, 5:] = False
    losses, places = torch.zeros(()), 0
    torch.manual_seed(1)
    for sequence in range(config.sequences):
        chosen = masked_lm.choose(allowed, 0.3)
        shown, hidden = masked_lm.corrupt(codes, chosen, config.codec.codes)
        states = objective.encoder.read(shown, sequence, hidden)[-1][:, 1:-1]
        for codebook in range(config.trained) if layout == "summed" else [sequence]:
            every = F.cross_entropy(objective.guess(states, codebook).mT, codes[..., codebook], reduction="none")
            losses, places = losses + every[chosen].sum(), places + int(chosen.sum())
    torch.manual_seed(1)
    loss, _ = objective.masked(codes, allowed)
    assert loss.item() == pytest.approx((losses / places).item(), rel=1e-5)


def clips_of_two_lengths() -> Batch:
    targets = (torch.rand(4, 3, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    audio, lengths = sounds(4), [16000, 9600, 16000, 9600]
    for row, length in zip(audio, lengths, strict=True):
        row[length:] = 0
    return Batch(audio, lengths, targets)


def reading_one(**options: Any) -> Audioformer:
    """A model of three codebooks that reads the first."""
    encoder = small(trained=3, codebooks=1, average=1, dropout=0.0, **options)
    encoder.pool = "tokens"
    return encoder


@pytest.mark.parametrize("layout", ["shared", "separate"])
def test_fine_tuning_with_the_contrast(layout: str) -> None:
    """The classified vectors are the means over all tokens of codebook 1; the others come from where training began."""
    batch, encoder = clips_of_two_lengths(), reading_one(layout=layout)
    began = copy.deepcopy(encoder)
    made = ContrastClassifier(encoder, 3, 16000, loss="bce", contrast=Contrast(views=3, alpha=0.7))
    with torch.no_grad():
        for p in made.encoder.backbones.parameters():
            p.add_(0.02)
    torch.nn.init.normal_(made.head.linear.weight)
    loss, logs = made(batch, 0)
    codes = [began.codec(clip[None, :length]).mT for clip, length in zip(batch.audio, batch.lengths, strict=True)]
    mine = torch.cat([pooled(made.encoder.read(one, 0)[-1]) for one in codes])
    views = [mine, *(torch.cat([pooled(began.read(one, k)[-1]) for one in codes]) for k in (1, 2))]
    plain = F.binary_cross_entropy_with_logits(made.head(mine), batch.targets)
    drawn = mpc(torch.cat(views), torch.arange(4).repeat(3), torch.arange(3).repeat_interleave(4))
    assert logs["classification"].item() == pytest.approx(plain.item(), rel=1e-4)
    assert logs["contrast"].item() == pytest.approx(drawn.item(), rel=1e-4)
    assert loss.item() == pytest.approx(0.7 * plain.item() + 0.3 * drawn.item(), rel=1e-4)
    loss.backward()
    moved = {name for name, p in made.named_parameters() if p.grad is not None}
    assert any(name.startswith("encoder.backbones.0.") for name in moved)
    assert not [name for name in moved if name.startswith(("frozen.", "encoder.codec.", "encoder.backbones.1."))]
    assert flops_per_crop(made, backward=True) > flops_per_crop(Classifier(encoder, 3, 16000), backward=True)


def test_models_that_are_not_read_do_not_learn() -> None:
    encoder = reading_one(layout="separate").requires_grad_(True)
    learns = {name.rsplit(".embeddings")[0] for name, p in encoder.named_parameters() if p.requires_grad}
    assert not [name for name in learns if name.startswith(("backbones.1", "backbones.2", "codec"))]


@pytest.mark.parametrize(
    ("options", "views", "message"),
    [
        ({"layout": "summed", "codebooks": 2}, 2, "layout summed; the contrast needs two"),
        ({"codebooks": 1}, 3, "was trained on 2 code sequences"),
        ({"codebooks": 1}, 1, "the contrast needs two"),
        ({}, 2, "set options.codebooks=1"),
    ],
)
def test_a_contrast_of_too_little_is_refused(options: dict, views: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastClassifier(small(**options), 3, 16000, contrast=Contrast(views=views))


def test_pooling_over_all_tokens() -> None:
    encoder = reading_one()
    audio = sounds(2)
    wanted = pooled(encoder.read(encoder.codec(audio, 1).mT, 0)[-1])
    found = Embedder(encoder, pool="tokens").scene(audio)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not torch.allclose(found, Embedder(encoder, pool="mean").scene(audio), atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_negative_codes_are_masked_ones(layout: str) -> None:
    encoder = small(layout=layout).eval()
    codes = encoder.clip_context(sounds(2)).long()  # type: ignore[union-attr]
    chosen = torch.zeros(2, 50, dtype=torch.bool)
    chosen[0, 10:20] = True
    for sequence in range(encoder.config.sequences):
        wanted = encoder.read(codes, sequence, chosen)[-1]
        assert torch.equal(encoder.read(codes.masked_fill(chosen[..., None], -1), sequence)[-1], wanted)
        assert not torch.equal(encoder.read(codes, sequence)[-1][0], wanted[0])


def test_the_codec_does_not_learn_with_the_models() -> None:
    encoder = small_audioformer().requires_grad_(False).requires_grad_(True)
    learns = {name.split(".")[0] for name, p in encoder.named_parameters() if p.requires_grad}
    assert learns == {"backbones"}


def test_fresh_models_keep_the_codec() -> None:
    """What training from random weights starts from still speaks the language that it is to read."""
    trained = small()
    fresh = small_audioformer()
    initialise(fresh)
    keep_fixed(fresh, trained.state_dict())
    assert fresh.codec.codebook_hash() == trained.codec.codebook_hash()
    assert torch.equal(fresh.clip_context(sounds(2)), trained.clip_context(sounds(2)))  # type: ignore[arg-type]
    words = [encoder.backbones[0].embeddings.word_embeddings.weight for encoder in (fresh, trained)]  # type: ignore
    assert not torch.equal(*words)


def test_stage_two_goes_on_from_stage_one(tmp_path: Path) -> None:
    first = build(small())
    with torch.no_grad():
        for p in first.parameters():
            p.add_(0.1)
    torch.save({"model": first.state_dict()}, tmp_path / "step-00000007.ckpt")
    second = build(small(), contrast=True, start=str(tmp_path))
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor)
        if name.startswith("encoder."):
            assert torch.equal(second.state_dict()[f"frozen.{name}"], tensor)
    assert isinstance(second.frozen, FrozenViews)
    with pytest.raises(ValueError, match="no checkpoint there"):
        build(small(), start=str(tmp_path / "nothing"))
