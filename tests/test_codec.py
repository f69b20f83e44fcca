"""The codec's rules: what a code may depend on, and how a codec is found, told apart and refused."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor

import hear_audioformer
from hear_audioformer import checkpoint, codec, weights
from hear_audioformer.checkpoint import Header, WeightsError
from hear_audioformer.cli import main
from hear_audioformer.codec import COMPACT_16K, ENCODEC_24KHZ, Codec
from hear_audioformer.codec.encodec import convert
from hear_audioformer.codec.load import load
from hear_audioformer.codec.quantiser import Codebook
from tests.conftest import SMALL_CODEC, learn_codebooks
from tests.test_golden_codec import CONFIG, STATE


def small(**options: Any) -> Codec:
    torch.manual_seed(0)
    made = codec.build({**SMALL_CODEC, "codebooks": 4, **options}).eval()
    learn_codebooks(made)
    return made


def noise(clips: int, seconds: float, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(clips, int(16000 * seconds), generator=torch.Generator().manual_seed(seed))


def test_the_two_codecs() -> None:
    """The sizes that the papers' tables and our plans give."""
    with torch.device("meta"):
        compact, encodec = Codec(COMPACT_16K), Codec(ENCODEC_24KHZ)
    assert (compact.sample_rate / compact.hop, encodec.sample_rate / encodec.hop) == (50, 75)
    assert sum(p.numel() for p in compact.parameters()) == pytest.approx(1.2e6, rel=0.05)
    assert sum(p.numel() for p in encodec.parameters()) == pytest.approx(7.43e6, rel=0.002)
    assert len(compact.quantizer.codebooks) == 8
    assert [encodec.count(samples) for samples in (1, 320, 321, 240_000, 240_001)] == [1, 1, 2, 750, 751]


def test_codes_vary_or_these_tests_say_nothing() -> None:
    codes = small()(noise(2, 2.0))
    assert codes.shape == (2, 4, 100)
    assert codes.dtype == torch.int64
    assert min(len(codes[:, k].unique()) for k in range(4)) > 5


def test_neighbours_do_not_matter() -> None:
    made, audio = small(), noise(3, 1.01)
    together = made(audio)
    for row in range(3):
        assert torch.equal(made(audio[row : row + 1])[0], together[row])


def test_silence_behind_a_clip_does_not_matter() -> None:
    made, audio = small(), noise(1, 1.005)
    longer = torch.nn.functional.pad(audio, (0, 3000))
    assert torch.equal(made(longer)[..., :51], made(audio))


def test_the_future_does_not_matter() -> None:
    made, audio = small(dilations=(1, 3)), noise(1, 1.0)
    changed = audio.clone()
    changed[:, 20 * made.hop :] = noise(1, 1.0, seed=1)[:, 20 * made.hop :]
    assert torch.equal(made(changed)[..., :20], made(audio)[..., :20])
    assert not torch.equal(made(changed)[..., 20:], made(audio)[..., 20:])


def test_a_shift_by_one_frame_shifts_the_codes() -> None:
    made, audio = small(), noise(1, 1.0)
    shifted = torch.cat([torch.zeros(1, made.hop), audio], dim=1)
    reach = 5  # frames that hear the start
    assert torch.equal(made(shifted)[..., 1 + reach :], made(audio)[..., reach:])


def test_blocks_of_a_long_recording_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block hears enough of what is before it; without that, its first frames would be wrong."""
    audio = noise(1, 5.3)
    whole = small(dilations=(1, 3))(audio)
    monkeypatch.setattr(codec, "BLOCK_SECONDS", 1)
    assert torch.equal(small(dilations=(1, 3))(audio), whole)
    assert not torch.equal(small(dilations=(1, 3), context=0.0)(audio), whole)


def test_fewer_codebooks_are_the_first_ones() -> None:
    made, audio = small(), noise(2, 0.5)
    codes = made(audio)
    assert torch.equal(made(audio, 2), codes[:, :2])
    assert torch.equal(made.first(3)(audio), codes[:, :3])
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"has 4 codebooks, {count} were asked for"):
            made.first(count)


def test_precision_around_it_does_not_matter() -> None:
    made, audio = small(), noise(1, 1.0)
    wanted = made(audio)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(audio), wanted)
        assert not torch.equal(made.quantizer.encode(made.latents(audio)), wanted)
    assert torch.equal(made(audio.double()), wanted)


def test_the_audio_may_lie_elsewhere() -> None:
    assert small().to("meta")(noise(2, 0.1)).device.type == "meta"


def test_flags_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = small(), []
    made.encoder.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    for allowed in (True, False):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        made(noise(1, 0.1))
        assert torch.backends.cudnn.allow_tf32 == allowed
    assert seen == [False, False]


def test_the_nearest_vector_far_from_the_origin() -> None:
    """Where squares of a million hide differences of a hundredth from float32."""
    codebook = Codebook(50, 6)
    generator = torch.Generator().manual_seed(0)
    codebook.embed.copy_(1000 + torch.randn(50, 6, generator=generator) / 10)
    x = 1000 + torch.randn(40, 6, generator=generator) / 10
    wanted = (x[:, None] - codebook.embed).double().square().sum(-1).argmin(1)
    assert torch.equal(codebook.nearest(x), wanted)


def test_wrong_input() -> None:
    made = small()
    assert made(torch.zeros(0, 700)).shape == (0, 4, 3)
    for audio in (torch.zeros(2, 0), torch.zeros(700)):
        with pytest.raises(ValueError, match=r"must be .clips, samples. with at least one sample"):
            made(audio)


def test_the_hash_is_that_of_the_codebooks() -> None:
    one, other = small(), small()
    assert one.codebook_hash() == other.codebook_hash()
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1)
    assert one.codebook_hash() == other.codebook_hash()
    other.quantizer.codebooks[3].embed[0, 0] += 1e-3
    assert one.codebook_hash() != other.codebook_hash()
    assert one.first(3).codebook_hash() == other.first(3).codebook_hash()


def write(made: Codec, path: Path) -> Path:
    checkpoint.write(path, made.state_dict(), Header("codec", asdict(made.config), provenance={"name": "mine"}))
    return path


def test_a_codec_is_no_model(tmp_path: Path) -> None:
    """It is loaded as a codec, and by nothing that looks for embeddings."""
    path = write(small(), tmp_path / "codec.safetensors")
    found, name = load(path)
    assert name == "mine"
    assert torch.equal(found(noise(1, 0.5)), small()(noise(1, 0.5)))
    with pytest.raises(WeightsError, match="holds a codec, which embeds nothing by itself"):
        hear_audioformer.load_model(str(path))
    shown = CliRunner().invoke(main, ["info", str(path)])
    assert '"sample_rate": 16000' in shown.output
    assert not set(weights.list_models()) & set(weights.list_models("codec"))


def test_a_model_is_no_codec(model_file: Path) -> None:
    with pytest.raises(WeightsError, match="not a codec"):
        load(model_file)


def test_transformers_files_and_folders(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    wanted = convert(STATE, sample_rate=CONFIG["sampling_rate"])[0]
    for source in (tmp_path, tmp_path / "model.safetensors"):
        found, name = load(source)
        assert name == "encodec_24khz"
        assert found.codebook_hash() == wanted.codebook_hash()
        assert found.config == wanted.config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("encoder.layers.0.conv.bias"), "encoder.layers.0.conv.bias: missing"),
        (
            lambda s: s.pop("encoder.layers.3.conv.parametrizations.weight.original1"),
            "layers.3.conv.*original1: missing",
        ),
        (lambda s: s.update({"encoder.layers.99.conv.bias": torch.zeros(1)}), "99.conv.bias: not part of an EnCodec"),
        (lambda s: s.update({"encoder.layers.0.conv.bias": torch.zeros(3)}), r"layers.0.conv.bias: shape \(3,\) where"),
        (lambda s: s.clear(), "not an EnCodec checkpoint"),
    ],
)
def test_a_damaged_encodec_is_refused(change: Any, message: str) -> None:
    state = dict(STATE)
    change(state)
    with pytest.raises(WeightsError, match=message):
        convert(state)


def test_without_the_hub_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(source: str) -> Path:
        assert source.startswith("hf://facebook/encodec_24khz@")
        raise WeightsError("not in the cache")

    monkeypatch.setattr(weights, "resolve", offline)
    with pytest.raises(
        WeightsError, match=r"could not be had .not in the cache.; pass a local copy .* needs no network"
    ):
        load("encodec_24khz")
