"""MSM-MAE against the authors' code: every stage, every length of the golden file, both attention dialects.

The file names its own sizes, cases and lengths; $GOLDENS may name a folder with another one of the same layout.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hear_audioformer.convert import from_upstream
from hear_audioformer.embedder import Embedder
from hear_audioformer.features import LogMel
from hear_audioformer.msm_mae import MsmMae, build

GOLDEN = np.load(Path(os.environ.get("GOLDENS", Path(__file__).parent / "goldens")) / "msm_mae.npz", allow_pickle=False)
CONFIG = json.loads(str(GOLDEN["config"]))
LENGTHS = list(CONFIG["audio_lengths"])
DIALECTS = ["split", "full"]
WINDOW = next(
    name.split("/")[0] for name in GOLDEN.files if name.endswith("/patch_embed_first_chunk")
)  # one window long


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


def state_dict(dialect: str) -> dict[str, Tensor]:
    """The golden's weights, with query and value biases as the authors have them or one full bias as M2D has it."""
    state = {name.removeprefix("weights/"): golden(name) for name in GOLDEN.files if name.startswith("weights/")}
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
        normalisation=tuple(CONFIG["fixed_stats"]),
    )
    changed = build({**vars(encoder.config), **options})
    changed.load_state_dict(encoder.state_dict())
    return changed


def close(found: Tensor, name: str, tolerance: float) -> None:
    """Holds a result against the file's; ``pytest -s`` shows how near it came."""
    wanted = golden(name)
    assert found.shape == wanted.shape
    deviation = float((found - wanted).abs().max())
    print(f"{name}: {deviation:.1e} of {tolerance:.0e}")
    assert deviation <= tolerance


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
    close(front(golden(f"{length}/audio")).mT[:, None], f"{length}/logmel", 2e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_batch_statistics(length: str) -> None:
    statistics = model(normalisation="batch").statistics(golden(f"{length}/audio"))
    assert statistics is not None
    close(statistics[0], f"{length}/norm_mean_std", 1e-4)


def test_position_table() -> None:
    encoder = model()
    rows = int(encoder.config.cls)
    table = torch.cat([torch.zeros(rows, encoder.config.width), encoder.positions.flatten(0, 1)])
    close(table[None], "weights/pos_embed", 1e-7)


def test_patch_embedding() -> None:
    encoder = model()
    embedded = encoder.tokens(windows(golden(f"{WINDOW}/normalized"))) - encoder.positions.flatten(0, 1)
    close(embedded.detach(), f"{WINDOW}/patch_embed_first_chunk", 1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_tokens_of_the_first_window(dialect: str, length: str) -> None:
    close(tokens(model(dialect), windows(golden(f"{length}/normalized"))), f"{length}/encoder_tokens_first_chunk", 1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_frames_from_the_stored_normalised_input(dialect: str, length: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = model(dialect, short="pad")
    normalised = golden(f"{length}/normalized")[:, 0].mT
    monkeypatch.setattr(encoder, "features", lambda audio, start, stop, statistics: normalised[:, start:stop])
    close(Embedder(encoder).frames(golden(f"{length}/audio")), f"{length}/frame_embeddings", 1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_embeddings_end_to_end(dialect: str, length: str) -> None:
    audio = golden(f"{length}/audio")
    authors = Embedder(model(dialect, normalisation="batch", short="pad"))
    close(authors.frames(audio), f"{length}/frame_embeddings", 1e-4)
    close(authors.scene(audio), f"{length}/scene_embeddings", 1e-4)
    close(authors.frames(audio[:1]), f"{length}/frame_embeddings_first_clip_alone", 1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_fixed_statistics(dialect: str, length: str) -> None:
    found = Embedder(model(dialect, short="pad")).frames(golden(f"{length}/audio"))
    close(found, f"{length}/frame_embeddings_fixed_stats", 1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_cropped_positions_are_m2ds(dialect: str, length: str) -> None:
    close(Embedder(model(dialect)).frames(golden(f"{length}/audio")), f"m2d_loader/{length}_frame_embeddings", 1e-4)


def test_every_layer(dialect: str) -> None:
    encoder = model(dialect)
    with torch.no_grad():
        layers = encoder.encode_layers(windows(golden(f"{WINDOW}/normalized")), range(1, encoder.depth + 1))
    close(layers, f"layers/{WINDOW}_encode_lms_return_layers", 1e-5)


def test_without_a_class_token(dialect: str) -> None:
    state = state_dict(dialect)
    del state["cls_token"]
    state["pos_embed"] = state["pos_embed"][:, 1:]
    state["decoder_pos_embed"] = state["decoder_pos_embed"][:, 1:]
    encoder = from_upstream("msm-mae", state, heads=CONFIG["num_heads"], input_size=tuple(CONFIG["input_size"]))
    features = windows(golden(f"{WINDOW}/normalized"))
    assert isinstance(encoder, MsmMae)
    close(tokens(encoder, features), f"nocls/{WINDOW}_encoder_tokens", 1e-5)
    with torch.no_grad():
        close(encoder.encode(features), f"nocls/{WINDOW}_frame_embeddings", 1e-5)
