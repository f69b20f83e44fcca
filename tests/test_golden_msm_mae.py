"""MSM-MAE against the authors' code: every stage, every length of the golden file, both attention dialects.

The file names its own sizes, cases and lengths; $GOLDENS may name a folder with another one of the same layout.
"""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer.convert import from_upstream
from hear_audioformer.embedder import Embedder
from hear_audioformer.features import LogMel
from hear_audioformer.msm_mae import MsmMae, build
from tests.golden_file import GoldenFile

GOLDEN = GoldenFile("msm_mae")
CONFIG, close = GOLDEN.config, GOLDEN.close
LENGTHS = list(CONFIG["audio_lengths"])
DIALECTS = ["split", "full"]


def cases(pattern: str) -> list[str]:
    """What stands for the case's name in those of the file's arrays that fit."""
    return [found[1] for name in GOLDEN.names if (found := re.fullmatch(pattern, name))]


def state_dict(dialect: str) -> dict[str, Tensor]:
    """The golden's weights, with query and value biases as the authors have them or one full bias as M2D has it."""
    state = GOLDEN.under("weights/")
    if dialect == "full":
        for name in [name for name in state if name.endswith("attn.q_bias")]:
            query, value = state.pop(name), state.pop(name.replace("q_bias", "v_bias"))
            state[name.replace("q_bias", "qkv.bias")] = torch.cat([query, torch.zeros_like(query), value])
    return state


def model(dialect: str = "split", **options: Any) -> MsmMae:
    """The golden's encoder, with options that change nothing but its handling of input."""
    encoder = from_upstream(
        "msm-mae",
        state_dict(dialect),
        heads=CONFIG["num_heads"],
        input_size=tuple(CONFIG["input_size"]),
        sample_rate=CONFIG["sample_rate"],
        normalisation=tuple(CONFIG["fixed_stats"]),
    )
    changed = build({**vars(encoder.config), **options})
    changed.load_state_dict(encoder.state_dict())
    return changed


def windows(features: Tensor) -> Tensor:
    """The first window of (batch, 1, bands, frames), filled up with zeros as the authors do: (batch, frames, bands)."""
    frames = CONFIG["input_size"][1]
    first = features[:, 0, :, :frames].mT
    return torch.nn.functional.pad(first, (0, 0, 0, frames - first.shape[1]))


def tokens(encoder: MsmMae, features: Tensor) -> Tensor:
    with torch.no_grad():
        return encoder.run(encoder.tokens(features), [encoder.depth])[0]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


def test_mel_filters_are_the_authors() -> None:
    close(LogMel(CONFIG["sample_rate"], CONFIG["n_mels"]).filters.mT, "frontend/mel_basis", 1e-7)


@pytest.mark.parametrize("length", LENGTHS)
def test_log_mel(length: str) -> None:
    front = LogMel(CONFIG["sample_rate"], CONFIG["n_mels"])
    close(front(GOLDEN[f"{length}/audio"]).mT[:, None], f"{length}/logmel", 2e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_batch_statistics(length: str) -> None:
    statistics = model(normalisation="batch").clip_context(GOLDEN[f"{length}/audio"])
    assert statistics is not None
    close(statistics[0], f"{length}/norm_mean_std", 1e-4)


def test_position_table() -> None:
    encoder = model()
    rows = int(encoder.config.cls)
    table = torch.cat([torch.zeros(rows, encoder.config.width), encoder.positions.flatten(0, 1)])
    close(table[None], "weights/pos_embed", 1e-7)


@pytest.mark.parametrize("length", cases("(.+)/patch_embed_first_chunk"))
def test_patch_embedding(length: str) -> None:
    encoder = model()
    embedded = encoder.tokens(windows(GOLDEN[f"{length}/normalized"])) - encoder.positions.flatten(0, 1)
    close(embedded.detach(), f"{length}/patch_embed_first_chunk", 1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_tokens_of_the_first_window(dialect: str, length: str) -> None:
    close(tokens(model(dialect), windows(GOLDEN[f"{length}/normalized"])), f"{length}/encoder_tokens_first_chunk", 1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_frames_from_the_stored_normalised_input(dialect: str, length: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = model(dialect, short="pad")
    normalised = GOLDEN[f"{length}/normalized"][:, 0].mT
    monkeypatch.setattr(encoder, "features", lambda audio, start, stop, clip_context: normalised[:, start:stop])
    close(Embedder(encoder).frames(GOLDEN[f"{length}/audio"]), f"{length}/frame_embeddings", 1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_embeddings_end_to_end(dialect: str, length: str) -> None:
    audio = GOLDEN[f"{length}/audio"]
    authors = Embedder(model(dialect, normalisation="batch", short="pad"))
    close(authors.frames(audio), f"{length}/frame_embeddings", 1e-4)
    close(authors.scene(audio), f"{length}/scene_embeddings", 1e-4)
    close(authors.frames(audio[:1]), f"{length}/frame_embeddings_first_clip_alone", 1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_fixed_statistics(dialect: str, length: str) -> None:
    found = Embedder(model(dialect, short="pad")).frames(GOLDEN[f"{length}/audio"])
    close(found, f"{length}/frame_embeddings_fixed_stats", 1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_cropped_positions_are_m2ds(dialect: str, length: str) -> None:
    close(Embedder(model(dialect)).frames(GOLDEN[f"{length}/audio"]), f"m2d_loader/{length}_frame_embeddings", 1e-4)


@pytest.mark.parametrize("length", cases("layers/(.+)_encode_lms_return_layers"))
def test_every_layer(dialect: str, length: str) -> None:
    encoder = model(dialect)
    with torch.no_grad():
        layers = encoder.encode_layers(windows(GOLDEN[f"{length}/normalized"]), range(1, encoder.depth + 1))
    close(layers, f"layers/{length}_encode_lms_return_layers", 1e-5)


@pytest.mark.parametrize("length", cases("nocls/(.+)_encoder_tokens"))
def test_without_a_class_token(dialect: str, length: str) -> None:
    state = state_dict(dialect)
    if "cls_token" in state:
        del state["cls_token"]
        tables = [name for name in ("pos_embed", "decoder_pos_embed") if name in state]
        state |= {name: state[name][:, 1:] for name in tables}
    encoder = from_upstream(
        "msm-mae",
        state,
        heads=CONFIG["num_heads"],
        input_size=tuple(CONFIG["input_size"]),
        sample_rate=CONFIG["sample_rate"],
    )
    features = windows(GOLDEN[f"{length}/normalized"])
    assert isinstance(encoder, MsmMae)
    close(tokens(encoder, features), f"nocls/{length}_encoder_tokens", 1e-5)
    with torch.no_grad():
        close(encoder.encode(features), f"nocls/{length}_frame_embeddings", 1e-5)
