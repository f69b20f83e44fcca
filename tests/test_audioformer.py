"""AudioFormer's layouts, options and refusals: what golden files of its parts cannot show."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer import checkpoint, load_model
from hear_audioformer.audioformer import SIZES, Audioformer, Config, build
from hear_audioformer.checkpoint import Header, WeightsError
from hear_audioformer.codec import ENCODEC_24KHZ, Codec
from hear_audioformer.embedder import Embedder
from tests.conftest import learn_codebooks, small_audioformer

LAYOUTS = ["shared", "separate", "summed"]


def small(**options: Any) -> Audioformer:
    torch.manual_seed(0)
    made = small_audioformer(**options).eval()
    learn_codebooks(made.codec)
    return made


def like(made: Audioformer, **options: Any) -> Audioformer:
    """The same weights under another configuration."""
    other = build({**vars(made.config), **options}).eval()
    other.load_state_dict(made.state_dict())
    return other


def noise(clips: int, seconds: float) -> Tensor:
    return 0.3 * torch.randn(clips, int(16000 * seconds), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("size", "separate", "shared"), [("tiny", 5.0e6, 0.8e6), ("small", 14.6e6, 1.2e6)])
def test_sizes(size: str, separate: float, shared: float) -> None:
    """Parameters of one language model, and what a table of four codebooks instead of one adds."""
    counts = []
    for options in ({"layout": "separate", "trained": 1}, {"layout": "shared", "trained": 4}):
        with torch.device("meta"):
            made = Audioformer(Config.of_size(size, **options))
        counts.append(sum(p.numel() for p in made.backbones.parameters()))
    assert counts[0] == pytest.approx(separate, rel=0.01)
    assert counts[1] - counts[0] == pytest.approx(shared, rel=0.05)


def test_the_assumed_original() -> None:
    """Four models of BERT's base size that read EnCodec's codes, ten seconds at a time."""
    config = Config.of_size("base", layout="separate", codec="encodec_24khz", window=750)
    assert config.codec == replace(ENCODEC_24KHZ, codebooks=4)
    assert config.sizes().vocabulary == 1028
    with torch.device("meta"):
        model = Embedder(Audioformer(replace(config, depth=12)))
    [count] = {sum(p.numel() for p in one.parameters()) for one in model.encoder.backbones}  # type: ignore[union-attr]
    assert count == pytest.approx(86.0e6, rel=0.005)
    assert model.scene_embedding_size == 4 * 768
    assert model.sample_rate == 24000
    assert model.hop_ms == pytest.approx(40 / 3)
    assert model.encoder.window == 240_000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    made = small(layout=layout, trained=3)
    assert len(made.backbones) == (3 if layout == "separate" else 1)
    frames, times = Embedder(made).timestamps(noise(2, 0.5))
    assert frames.shape == (2, 25, 16 if layout == "summed" else 48)
    assert times[0, :3].tolist() == [10.0, 30.0, 50.0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_codebook_is_heard(layout: str) -> None:
    """And under a name of its own: swapping two codebooks' codes is not the same sound."""
    made = small(layout=layout)
    codes = made.features(noise(1, 0.5), 0, 25)
    with torch.no_grad():
        wanted = made.encode(codes)
        assert (made.encode(codes.flip(2)) - wanted).abs().max() > 1e-2
        for codebook in range(2):
            changed = codes.clone()
            changed[0, 5, codebook] = (changed[0, 5, codebook] + 1) % 32
            assert (made.encode(changed) - wanted)[0, 5].abs().max() > 1e-2


def test_a_shared_model_is_told_which_codebook_it_reads() -> None:
    made = small(trained=3)
    codes = made.features(noise(1, 0.5), 0, 25)
    with torch.no_grad():
        before = made.encode(codes)
        made.backbones[0].embeddings.token_type_embeddings.weight[1] += torch.linspace(-1, 1, 16)  # type: ignore
        changed = (made.encode(codes) - before).abs().amax((0, 1)).view(3, 16).amax(1)
    assert (changed > 1e-2).tolist() == [False, True, False]


@pytest.mark.parametrize("layout", ["shared", "separate"])
def test_fewer_codebooks_give_the_first_part_of_the_vector(layout: str) -> None:
    made, audio = small(layout=layout, trained=3), noise(2, 1.3)
    whole = Embedder(made).scene(audio)
    fewer = Embedder(like(made, codebooks=2))
    assert fewer.scene_embedding_size == 32
    assert (fewer.scene(audio) - whole[:, :32]).abs().max() < 1e-5


def test_fewer_codebooks_of_a_sum() -> None:
    made, audio = small(layout="summed", trained=3), noise(2, 0.5)
    fewer = Embedder(like(made, codebooks=1))
    assert fewer.scene_embedding_size == 16
    assert (fewer.scene(audio) - Embedder(made).scene(audio)).abs().max() > 1e-3


def test_codebooks_may_be_averaged() -> None:
    made, audio = small(), noise(2, 1.3)
    beside, mean = Embedder(made).scene(audio), Embedder(like(made, combine="mean")).scene(audio)
    assert (mean - (beside[:, :16] + beside[:, 16:]) / 2).abs().max() < 1e-5


def test_the_mean_of_the_last_layers() -> None:
    made, audio = small(), noise(1, 0.7)
    layers = [Embedder(like(made, average=1), layers=[n]).frames(audio) for n in (1, 2, 3)]
    assert torch.equal(Embedder(made, layers=[2]).frames(audio), layers[1])
    for average in (1, 2, 3):
        wanted = torch.stack(layers[-average:]).mean(0)
        assert (Embedder(like(made, average=average)).frames(audio) - wanted).abs().max() < 1e-5


def test_first_and_last_token_are_heard_but_not_given() -> None:
    made = small()
    codes = made.features(noise(1, 0.02), 0, 1)
    with torch.no_grad():
        before = made.encode(codes)
        for token in (made.config.boa, made.config.eoa):
            made.backbones[0].embeddings.word_embeddings.weight[token].mul_(-3).add_(0.1)
            after = made.encode(codes)
            assert after.shape == (1, 1, 32)
            assert (after - before).abs().max() > 1e-4
            before = after


def test_any_order_of_the_vocabulary() -> None:
    """Ids are the configuration's: codes first and other special tokens give the same embedding from the same words."""
    made = small(layout="separate")
    theirs = build({**vars(made.config), "code_offset": 0, "boa": 35, "pad": 32, "eoa": 33, "mask": 34})
    state = made.state_dict()
    order = [*range(4, 36), made.config.pad, made.config.eoa, made.config.mask, made.config.boa]
    for name in [name for name in state if name.endswith("word_embeddings.weight")]:
        state[name] = state[name][order]
    theirs.load_state_dict(state)
    audio = noise(1, 0.5)
    assert torch.equal(Embedder(theirs).scene(audio), Embedder(made).scene(audio))


def write(made: Audioformer, path: Path) -> str:
    checkpoint.write(path, made.state_dict(), Header("audioformer", asdict(made.config)))
    return str(path)


def test_another_codec_is_refused(tmp_path: Path) -> None:
    """A file whose codebooks are not those that its models were trained with; the right ones are accepted."""
    made = small()
    made.adopt(made.codec, "mine")
    assert made.config.codec_hash == made.codec.codebook_hash()
    good = write(made, tmp_path / "good.safetensors")
    assert load_model(good, codebooks=1).scene_embedding_size == 16
    made.codec.quantizer.codebooks[1].embed[3, 3] += 0.01
    with pytest.raises(WeightsError, match="codebooks are not those of mine"):
        load_model(write(made, tmp_path / "bad.safetensors"))


def test_a_codec_of_another_make_is_not_adopted() -> None:
    made = small()
    richer = Codec(replace(made.config.codec, codebooks=5))
    made.adopt(richer, "richer")
    assert made.config.codec_id == "richer"
    with pytest.raises(ValueError, match=r"the codec other is .* but this model was made for"):
        made.adopt(Codec(replace(made.config.codec, latent=9)), "other")
    with pytest.raises(ValueError, match="has 1 codebooks, 2 were asked for"):
        made.adopt(Codec(replace(made.config.codec, codebooks=1)), "poorer")


def test_more_than_a_window_does_not_fit() -> None:
    with pytest.raises(ValueError, match="51 frames do not fit into a window of 50"):
        small()(torch.zeros(1, 50 * 320 + 1))


@pytest.mark.parametrize("arch", ["roformer", "roberta"])
def test_both_kinds_of_positions(arch: str) -> None:
    made = small(arch=arch)
    codes = made.features(noise(1, 1.0), 0, 50)
    with torch.no_grad():
        for block in made.blocks:
            for name in ("query", "key"):
                block.attention["self"][name].weight.mul_(30)  # fresh weights attend to everything alike
        moved = made.encode(codes.flip(1)).flip(1)
        assert (moved - made.encode(codes)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "stacked"}, "is not one of shared, separate, summed"),
        ({"arch": "gpt"}, "is not one of roformer, roberta"),
        ({"combine": "max"}, "is not one of auto, concat, mean"),
        ({"codebooks": 3}, "this model can read 1 to 2"),
        ({"average": 4}, "this model has 3 layers"),
        ({"heads": 5}, "cannot be split into 5 heads"),
        ({"heads": 16}, "cannot be split into 16 heads of an even width"),
        ({"boa": 2}, "must not share ids"),
        ({"mask": 4}, "must not share ids"),
        ({"codec": {"ratios": [3, 5]}}, "frames of 15 samples have no sample in their middle"),
    ],
)
def test_impossible_configurations_say_why(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_audioformer(**options)


def test_sizes_have_names() -> None:
    assert list(SIZES) == ["tiny", "small", "base"]


def test_learnt_positions_need_no_even_heads() -> None:
    """Only rotary positions turn pairs of values."""
    assert small_audioformer(heads=16, arch="roberta").config.heads == 16
