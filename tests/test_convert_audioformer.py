"""Converting AudioFormer's language models: every wrapping gives the same embeddings, every fault is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from hear_audioformer import checkpoint, load_model
from hear_audioformer.audioformer import Audioformer, build
from hear_audioformer.checkpoint import Header, WeightsError
from hear_audioformer.cli import main
from hear_audioformer.codec import Codec
from hear_audioformer.convert import convert_file, from_upstream
from hear_audioformer.embedder import Embedder
from tests.conftest import SMALL_CODEC, learn_codebooks
from tests.oracles import needs_pickles

State = dict[str, Tensor]
DECODER = "cls.predictions.decoder.weight"


@pytest.fixture
def codec(tmp_path: Path) -> str:
    torch.manual_seed(0)
    made = Codec(build({"codec": SMALL_CODEC, "width": 8, "depth": 1, "heads": 1, "average": 1}).config.codec)
    learn_codebooks(made)
    config = {**SMALL_CODEC, "codebooks": 4}
    checkpoint.write(tmp_path / "codec.safetensors", made.state_dict(), Header("codec", config))
    return str(tmp_path / "codec.safetensors")


def original(arch: str = "roformer", trained: int = 1) -> Audioformer:
    """What a converter should arrive at; ten seconds of these codes are 500 frames."""
    torch.manual_seed(0)
    sizes = {"width": 64, "depth": 4, "heads": 1, "hidden": 96, "window": 500}
    return build({**sizes, "arch": arch, "layout": "separate", "trained": trained, "codec": SMALL_CODEC})


def state_of(made: Audioformer, codebook: int = 0, prefix: str = "roformer.") -> State:
    """Hugging Face's file of one codebook's model, with a head, a table of fixed positions and a second token type."""
    mine = made.backbones[codebook].state_dict()
    kinds = "embeddings.token_type_embeddings.weight"
    mine[kinds] = torch.cat([mine[kinds], torch.ones_like(mine[kinds])])
    if made.config.arch == "roformer":
        mine["encoder.embed_positions.weight"] = torch.randn(502, 8)
    mine["pooler.dense.weight"] = torch.randn(64, 64)
    mine["embeddings.position_ids"] = torch.arange(10)
    state = {prefix + name: tensor.clone() for name, tensor in mine.items()}
    return state | {DECODER: torch.randn(36, 64), "cls.predictions.bias": torch.randn(36)}


def embedding(made: Any, codec: str) -> Tensor:
    """Of the language models, with whatever codec is in the file."""
    model = Embedder(made, pool="mean")
    return model.scene(0.3 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(0)))


def wanted(codec: str, **options: Any) -> Tensor:
    from hear_audioformer.codec.load import load

    made = original(**options)
    made.adopt(*load(codec))
    return embedding(made, codec)


@pytest.mark.parametrize("prefix", ["", "roformer.", "bert.", "model.backbone.", "module.net.model.roberta."])
def test_any_prefix(prefix: str, codec: str) -> None:
    found = from_upstream("audioformer", state_of(original(), prefix=prefix), codec=codec)
    assert torch.equal(embedding(found, codec), wanted(codec))


def test_roberta_is_recognised(codec: str) -> None:
    found = from_upstream("audioformer", state_of(original("roberta"), prefix="roberta."), codec=codec)
    assert isinstance(found, Audioformer)
    assert (found.config.arch, found.config.window) == ("roberta", 500)
    assert torch.equal(embedding(found, codec), wanted(codec, arch="roberta"))


@needs_pickles
def test_a_file_for_each_codebook(tmp_path: Path, codec: str) -> None:
    """From the command line; Lightning's wrapping; in the order given; which is not that of the files' names."""
    made = original(trained=2)
    files = [tmp_path / "nq9.ckpt", tmp_path / "nq1.ckpt"]
    for number, file in enumerate(files):
        torch.save({"state_dict": state_of(made, number, "model.roformer."), "epoch": 3}, file)
    out = tmp_path / "out.safetensors"
    command = ["convert", "--method", "audioformer", *map(str, files), "--codec", codec, "-o", str(out)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "note: codebook 2 from '1.model.roformer.'" in result.output
    assert all(checkpoint.sha256(file) in result.output for file in [*files, out])
    header = checkpoint.read_header(out)
    assert header.provenance["converted_from"] == "nq9.ckpt, nq1.ckpt"
    assert header.config["codec_id"] == "codec"
    model = load_model(out)
    assert model.scene_embedding_size == 128
    assert torch.equal(embedding(model.encoder, codec), wanted(codec, trained=2))
    swapped = convert_file("audioformer", files[::-1], tmp_path / "swapped.safetensors", codec=codec)
    assert not torch.equal(embedding(swapped.encoder, codec), wanted(codec, trained=2))


def test_other_methods_take_one_file(tmp_path: Path) -> None:
    command = ["convert", "--method", "msm-mae", "a.pth", "b.pth", "-o", str(tmp_path / "out.safetensors")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "a model of method msm-mae comes in one file, 2 were given" in result.output


def test_several_models_in_one_file(codec: str) -> None:
    """Ten comes after two."""
    made = original(trained=3)
    state: State = {}
    for number, name in enumerate(("nq1", "nq2", "nq10")):
        state |= state_of(made, number, f"{name}.roformer.")
    assert torch.equal(embedding(from_upstream("audioformer", state, codec=codec), codec), wanted(codec, trained=3))


def test_another_order_of_the_vocabulary(codec: str) -> None:
    """Codes first, and a few words that nobody reads: the ids are the user's to say."""
    state = state_of(original())
    name = "roformer.embeddings.word_embeddings.weight"
    state[name] = torch.cat([state[name][4:], state[name][[3, 2, 1, 0]], torch.randn(5, 64)])
    with pytest.raises(WeightsError, match=r"41 words, not 4 special ones and 32 codes.*pass --code-offset and"):
        from_upstream("audioformer", state, codec=codec)
    found = from_upstream("audioformer", state, codec=codec, code_offset=0, special_ids=(35, 34, 33, 32))
    assert torch.equal(embedding(found, codec), wanted(codec))


def edited(edit: Callable[[State], Any]) -> State:
    state = state_of(original(), prefix="")
    edit(state)
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (edited(lambda s: s.pop("encoder.layer.2.output.dense.bias")), r"missing: encoder.layer.2.output.dense.bias$"),
        (
            edited(lambda s: s.pop("encoder.layer.0.intermediate.dense.weight")),
            "^encoder.layer.0.intermediate.*: missing",
        ),
        (edited(lambda s: s.pop("embeddings.word_embeddings.weight")), "not a checkpoint of a language model"),
        (
            edited(lambda s: s.update({"encoder.layer.1.norm": torch.ones(1)})),
            "not part of the model: encoder.layer.1.norm",
        ),
        (edited(lambda s: s["embeddings.LayerNorm.bias"].fill_(torch.nan)), "LayerNorm.bias holds NaN"),
        (
            edited(lambda s: s.update({"encoder.layer.3.output.dense.weight": torch.zeros(64, 95)})),
            r"encoder.layer.3.output.dense.weight: shape \(64, 95\) where \(64, 96\) was expected",
        ),
    ],
)
def test_faults_are_named(state: State, message: str, codec: str) -> None:
    with pytest.raises(WeightsError, match=message):
        from_upstream("audioformer", state, codec=codec)


def test_heads_that_cannot_be_told(codec: str) -> None:
    torch.manual_seed(0)
    made = build({"width": 24, "depth": 4, "heads": 3, "window": 500, "trained": 1, "codec": SMALL_CODEC})
    state = made.backbones[0].state_dict()
    with pytest.raises(WeightsError, match=r"a width of 24 is not a multiple of 64.* pass heads"):
        from_upstream("audioformer", state, codec=codec)
    found = from_upstream("audioformer", state, codec=codec, heads=3)
    assert isinstance(found, Audioformer)
    assert found.config.heads == 3


@needs_pickles
def test_notes_say_what_was_left_out_and_assumed(tmp_path: Path, codec: str) -> None:
    torch.save(state_of(original()), tmp_path / "x.ckpt")
    notes = convert_file("audioformer", tmp_path / "x.ckpt", tmp_path / "out.safetensors", codec=codec).notes
    text = "; ".join(notes)
    for part in ("codebook 1 from 'roformer.'", DECODER, "pooler.dense.weight", "embed_positions", "0, 1, 2, 3"):
        assert part in text
    assert "token_type_embeddings.weight cut from 2 to 1 rows" in text
