"""The codec's training: decoder, losses, codebooks that learn, and twenty steps of all of it together."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer import codec as codecs
from hear_audioformer.codec import Codec, Config
from hear_audioformer.codec.encodec import convert, fold
from hear_audioformer.codec.load import load
from hear_audioformer.codec.quantiser import Codebook
from tests.conftest import SMALL_CODEC
from tests.test_golden_codec import BANDWIDTHS, CASES, CONFIG, GOLDEN, STATE, close
from training.codec import codebooks
from training.codec.codebooks import Averages, clusters, start_all
from training.codec.decoder import Decoder
from training.codec.spectral import WINDOWS, MelDistance
from training.codec.start import CONVOLUTIONS
from training.export import _tensors
from training.flops import flops_per_crop
from training.objectives.codec import CodecObjective, correlations


@torch.no_grad()
@pytest.mark.parametrize(("bandwidth", "count"), BANDWIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_the_decoder_is_encodecs(case: str, bandwidth: float, count: int) -> None:
    codec, _ = convert(STATE, sample_rate=CONFIG["sampling_rate"])
    decoder = Decoder(codec.config)
    weights = {name: tensor for name, tensor in fold(STATE).items() if name.startswith("decoder.")}
    decoder.load_state_dict({name.removeprefix("decoder."): tensor for name, tensor in weights.items()})
    decoded = decoder(GOLDEN[f"{case}_bw{bandwidth}_quantised"])
    close(decoded[:, None], f"{case}_bw{bandwidth}_decoded", 1e-4)


def test_the_compact_decoder_mirrors_its_encoder() -> None:
    torch.manual_seed(0)
    config = Config(filters=2, latent=6, codes=4)
    counts = [sum(p.numel() for p in made.parameters()) for made in (Codec(config).encoder, Decoder(config))]
    assert counts[1] == pytest.approx(counts[0], rel=0.05)
    assert Decoder(config)(torch.randn(2, 6, 7)).shape == (2, 7 * 320)


def test_spectral_distance() -> None:
    """Zero of a sound and itself, blind to nothing, and in proportion to a change of level well above the floor."""
    distance = MelDistance(16000)
    audio = 0.3 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    assert float(distance(audio, audio)) == 0
    ten = torch.log(torch.tensor(10.0))
    inside = [distance.log_mel(1e4 * audio, window) - distance.log_mel(1e3 * audio, window) for window in WINDOWS]
    assert all((one.max() - ten).abs() < 1e-3 for one in inside)
    assert float(distance(1e-5 * audio, 1e-6 * audio)) < 0.02
    for hertz in (100, 1000, 7000):
        tone = 0.1 * torch.sin(torch.arange(8000) * 2 * torch.pi * hertz / 16000)
        assert float(distance(audio + tone, audio)) > 0.01
    silent = torch.zeros(1, 8000, requires_grad=True)
    distance(silent, audio[:1]).backward()
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_every_mel_band_hears_something() -> None:
    distance = MelDistance(16000)
    for window in WINDOWS:
        assert (getattr(distance, f"filters_{window}").sum(0) > 0).all()


def blobs(count: int, spread: float = 0.05) -> tuple[Tensor, Tensor]:
    """Well separated centres, (count, 4), and 50 vectors around each."""
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(count, 4, generator=generator)
    around = spread * torch.randn(count, 50, 4, generator=generator)
    return centres, (centres[:, None] + around).flatten(0, 1)


def test_clusters_lower_the_distance() -> None:
    torch.manual_seed(0)
    _, vectors = blobs(6)
    found = clusters(vectors, 24)
    distance = torch.cdist(vectors, found).min(1).values.mean()
    drawn = torch.cdist(vectors, vectors[torch.randperm(300)[:24]]).min(1).values.mean()
    assert float(distance) < 0.9 * float(drawn)
    assert clusters(vectors[:5], 12).unique(dim=0).shape == (12, 4)  # too few vectors are no obstacle


def test_codebooks_begin_one_after_the_other() -> None:
    """The second starts on what the first leaves over."""
    torch.manual_seed(0)
    codec = Codec(Config(**{**SMALL_CODEC, "latent": 4, "codes": 16, "codebooks": 3}))
    averages = torch.nn.ModuleList(Averages(codebook) for codebook in codec.quantizer.codebooks)
    _, vectors = blobs(16, spread=1.0)
    start_all(codec.quantizer, averages, vectors)
    errors, residual = [], vectors
    for codebook in codec.quantizer.codebooks:
        residual = residual - codebook(codebook.nearest(residual))
        errors.append(float(residual.square().mean()))
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < 0.8 * errors[1]


def started(codes: int = 4) -> tuple[Codebook, Averages]:
    codebook = Codebook(codes, 2)
    codebook.embed.copy_(torch.arange(2.0 * codes).view(codes, 2))
    averages = Averages(codebook)
    averages.counts.fill_(10.0)
    averages.sums.copy_(10 * codebook.embed)
    return codebook, averages


def test_averages_by_hand() -> None:
    """One update: 1 % of the way in counts and sums, and the quotient of both."""
    codebook, averages = started()
    before = codebook.embed.clone()
    vectors = torch.tensor([[1.0, 1.0], [3.0, 5.0], [9.0, 9.0]])
    averages.update(codebook, vectors, torch.tensor([[0, 0, 3]]))
    assert averages.counts.tolist() == pytest.approx([9.92, 9.9, 9.9, 9.91])
    assert codebook.embed[0].tolist() == pytest.approx([0.04 / 9.92, (9.9 + 0.06) / 9.92], rel=1e-4)
    assert codebook.embed[3].tolist() == pytest.approx([(59.4 + 0.09) / 9.91, (69.3 + 0.09) / 9.91], rel=1e-4)
    assert torch.allclose(codebook.embed[1:3], before[1:3], rtol=1e-4)
    assert int(averages.updates) == 1


def test_a_batch_with_nan_moves_nothing() -> None:
    codebook, averages = started()
    before = codebook.embed.clone()
    averages.update(codebook, torch.full((3, 2), torch.nan), torch.tensor([0, 1, 1]))
    averages.updates.fill_(codebooks.PATIENCE)
    averages.counts[0] = 0
    averages.revive(codebook, torch.full((3, 2), torch.nan))
    assert torch.allclose(codebook.embed, before, rtol=1e-4)
    assert torch.isfinite(averages.sums).all()


def test_dead_entries_live_again_and_others_stay() -> None:
    torch.manual_seed(0)
    codebook, averages = started()
    averages.counts.copy_(torch.tensor([20.0, 10.0, 2.0, 8.0]))  # ten each would be even
    before, vectors = codebook.embed.clone(), torch.full((5, 2), 77.0)
    averages.updates.fill_(codebooks.PATIENCE - 1)
    assert int(averages.revive(codebook, vectors)) == 0
    averages.updates.fill_(codebooks.PATIENCE)
    assert int(averages.revive(codebook, vectors)) == 1
    assert codebook.embed[2].tolist() == [77, 77]
    assert torch.equal(codebook.embed[[0, 1, 3]], before[[0, 1, 3]])
    assert float(averages.counts[2]) == 10
    assert averages.sums[2].tolist() == [770, 770]


def small(**options: Any) -> CodecObjective:
    torch.manual_seed(0)
    codec = codecs.build({**SMALL_CODEC, "sample_rate": 3200, "codes": 16, "codebooks": 4})
    return CodecObjective(codec, **{"gathered": 150, **options})


def sounds(clips: int, step: int = 0) -> Tensor:
    """A second of tones with changing loudness, at 3200 Hz, other ones each step."""
    generator = torch.Generator().manual_seed(step)
    pitch = 100 * 2 ** (3 * torch.rand(clips, 1, generator=generator))
    loud = torch.rand(clips, 10, generator=generator).repeat_interleave(320, dim=1)
    return 0.5 * loud * torch.sin(2 * torch.pi * pitch * torch.arange(3200) / 3200)


def test_twenty_steps() -> None:
    """The loss falls, codebooks start when they should and are used."""
    made = small(after=2)
    optimiser = torch.optim.AdamW(made.parameters(), lr=3e-3, betas=(0.8, 0.99), weight_decay=0)
    losses, ready, started, logs = [], [], made, []
    for step in range(20):
        torch.manual_seed(step)
        loss, values = made(sounds(8, step), step)
        if made.ready and not any(ready):
            started = copy.deepcopy(made).eval()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        ready.append(bool(made.ready))
        logs.append(values)
    assert ready == [False] * 3 + [True] * 17  # 80 frames a step from the third on, 150 wanted
    assert float(logs[3]["perplexity"]) > 4
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    with torch.no_grad():
        before = started.encoder.latents(sounds(8, 3))
        errors = [float((started.quantise(before, count).values - before).square().mean()) for count in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_latents_are_normalised_by_their_batch_and_the_codec_learns_how() -> None:
    """A shift of all latents changes nothing in training, and is what the codec takes off afterwards."""
    made, other = small(), small()
    for one in (made, other):
        one.begun.fill_(True)
    with torch.no_grad():
        bias: Any = other.encoder.encoder.layers[-1]
        bias.conv.bias += 5  # far above the latents, not so far that float32 rounds them away
    for step in range(2):
        losses = []
        for one in (made, other):
            torch.manual_seed(step)
            losses.append(one(sounds(8, step), step)[0].item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert torch.allclose(other.encoder.centre, made.encoder.centre + 5, atol=1e-4)
    assert torch.allclose(other.encoder.scale, made.encoder.scale, rtol=1e-3)
    latents = made.eval().encoder.latents(sounds(8, 1))
    assert latents.mean((0, 2)).abs().max() < 1e-4
    assert torch.allclose(latents.std((0, 2)), torch.ones(8), atol=0.02)
    now = copy.deepcopy(made.encoder.scale)
    made.train().ready.fill_(True)
    made(sounds(8, 1), 2)
    made(torch.full((8, 3200), torch.nan), 3)
    assert float(made(sounds(8, 1), 4)[1]["lag"]) < 0.05
    assert float(other(sounds(8, 1), 4)[1]["lag"]) < 0.05
    with torch.no_grad():
        bias.conv.bias += other.encoder.scale
    assert float(other(sounds(8, 1), 5)[1]["lag"]) == pytest.approx(1, abs=0.05)
    assert torch.isfinite(made.encoder.scale).all()
    assert torch.allclose(made.encoder.scale, now, rtol=1e-3)


def levels(made: CodecObjective, audio: Tensor) -> list[float]:
    """Deviations of what the convolutions say, in the order of the network."""
    found: list[float] = []
    parts = [part for part in made.modules() if isinstance(part, CONVOLUTIONS)]
    handles = [part.register_forward_hook(lambda *told: found.append(float(told[2].std()))) for part in parts]
    with torch.no_grad():
        made.decoder(made.normalised(made.encoder.encoder(audio[:, None]))[0])
    for handle in handles:
        handle.remove()
    return found


def test_all_layers_start_at_one_level() -> None:
    made, audio = small(), 0.05 * sounds(8, 0)
    assert min(levels(made, audio)) < 0.01
    for nothing in (torch.zeros_like(audio), torch.full_like(audio, torch.nan)):
        made._begin(nothing)
        assert not made.begun
    made._begin(audio)
    *inside, last = levels(made, audio)
    assert inside == pytest.approx([1.0] * len(inside), abs=1e-3)
    assert last == pytest.approx(float(audio.std()), rel=1e-3)
    assert made.begun
    before = copy.deepcopy(made.encoder.state_dict())
    made(0.1 * audio, 0)
    made.eval()(0.1 * audio, 0)
    assert all(torch.equal(before[name], made.encoder.state_dict()[name]) for name in before if "original" in name)


def test_the_first_batch_of_training_starts_the_layers_and_no_other_does() -> None:
    made = small()
    made.eval()(sounds(8, 0), 0)
    assert not made.begun
    made.train()(sounds(8, 0), 0)
    assert made.begun


def test_correlations_are_those_with_other_dimensions() -> None:
    one, other = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
    one, other = one / one.std(), other / other.std()
    assert float(correlations(torch.stack([one, other], dim=1))) < 0.01
    assert float(correlations(torch.stack([one, one, -one], dim=1))) == pytest.approx(2, rel=0.01)
    made, weighted = small(), small()
    weighted.weights = (*made.weights[:3], 1.0)
    told = []
    for objective in (made, weighted):
        torch.manual_seed(0)
        told.append(objective(sounds(8, 0), 0))
    assert (told[1][0] - told[0][0]).item() == pytest.approx(told[0][1]["correlations"].item(), rel=1e-3)


def test_how_many_codebooks_take_part() -> None:
    made = small()
    draws = [made.draw() for _ in range(600)]
    assert set(draws) == {1, 2, 4}
    assert all(abs(draws.count(count) / 600 - 1 / 3) < 0.07 for count in (1, 2, 4))


def test_gradients_go_straight_through_and_codebooks_get_none() -> None:
    made = small().eval()
    made.ready.fill_(True)
    for codebook in made.encoder.quantizer.codebooks:
        codebook.embed.normal_()
    latents = torch.randn(2, 8, 10, requires_grad=True)
    quantised = made.quantise(latents, 2)
    assert not torch.allclose(quantised.values, latents)
    assert torch.allclose(quantised.values, made.encoder.quantizer.decode(quantised.codes), atol=1e-6)
    [gradient] = torch.autograd.grad((quantised.values * torch.arange(10.0)).sum(), latents, retain_graph=True)
    assert torch.equal(gradient, torch.arange(10.0).expand(2, 8, 10))
    [pull] = torch.autograd.grad(quantised.commitment, latents)
    first = made.encoder.quantizer.codebooks[0]
    second = made.encoder.quantizer.codebooks[1]
    left = latents.detach().mT - first(quantised.codes[:, 0])
    wanted = (2 * left + (2 * (left - second(quantised.codes[:, 1])))) / left.numel() / 2
    # the first codebook's vector is held fixed, so both distances pull alike on the latents
    assert torch.allclose(pull.mT, wanted, atol=1e-6)


def test_evaluation_learns_nothing() -> None:
    made = small()
    for step in range(3):
        made(sounds(8, step), step)
    made.eval()
    before = copy.deepcopy(made.state_dict())
    made(sounds(8), 0)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """All that the codebooks have learnt is in the state."""
    one = small()
    for step in range(3):
        torch.manual_seed(step)
        one(sounds(8, step), step)
    other = small()
    other.load_state_dict(one.state_dict())
    for made in (one, other):
        torch.manual_seed(9)
        made(sounds(8, 9), 9)
    assert all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


def test_what_is_exported_is_the_codec_that_was_trained(tmp_path: Path) -> None:
    """Plain weights, codebooks and scale to the last digit, and nearly the same codes in half precision."""
    from dataclasses import asdict

    from hear_audioformer import checkpoint

    made = small().eval()
    for codebook in made.encoder.quantizer.codebooks:
        codebook.embed.normal_()
    with torch.no_grad():
        latents = made.encoder.latents(sounds(4))
    tensors = _tensors(made.encoder)
    assert not [name for name in tensors if "parametrizations" in name]
    assert {tensors["scale"].dtype, tensors["quantizer.layers.0.codebook.embed"].dtype} == {torch.float32}
    assert tensors["encoder.layers.0.conv.weight"].dtype == torch.float16
    path = tmp_path / "codec.safetensors"
    checkpoint.write(path, tensors, checkpoint.Header("codec", asdict(made.encoder.config)))
    found, name = load(path)
    assert name == "codec"
    assert found.codebook_hash() == made.encoder.codebook_hash()
    with torch.no_grad():
        assert (found.latents(sounds(4)) - latents).abs().max() < 1e-2 * latents.abs().max()


def test_costs_can_be_counted() -> None:
    assert flops_per_crop(small()) > 0
