"""ASiT against the authors' code: filter bank, tokens, every block, other lengths.

The file names its own sizes and lengths; $GOLDENS may name a folder with another one of the same layout.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer.asit import Asit, build
from hear_audioformer.convert import from_upstream
from hear_audioformer.embedder import Embedder
from tests.golden_file import GoldenFile

GOLDEN = GoldenFile("asit")
CONFIG, close = GOLDEN.config, GOLDEN.close
LENGTHS = list(CONFIG["other_frames"])
SHORTER = [length for length in LENGTHS if length < CONFIG["num_frames"]]


def state_dict(network: str) -> dict[str, Tensor]:
    """A network's weights under the authors' names."""
    return GOLDEN.under(f"{network}/")


def model(network: str, **changes: Any) -> Asit:
    """One of the golden's two networks, with options that change nothing but its handling of input."""
    encoder = from_upstream(
        "asit",
        state_dict(network),
        heads=CONFIG["num_heads"],
        input_size=(CONFIG["num_mel_bins"], CONFIG["num_frames"]),
        sample_rate=CONFIG["sample_rate"],
        normalisation=(CONFIG["data_mean"], CONFIG["data_std"]),
    )
    changed = build({**vars(encoder.config), **changes}).eval()
    changed.load_state_dict(encoder.state_dict())
    return changed


def crops() -> Tensor:
    """The waveforms of both views, view 0 of every clip first, (2 * clips, samples)."""
    samples = round(CONFIG["secs_per_crop"] * CONFIG["sample_rate"])
    waves = GOLDEN["in/wave"]
    starts = GOLDEN["in/crop_start"]
    return torch.stack([wave[s : s + samples] for row in starts for wave, s in zip(waves, row.tolist(), strict=True)])


def pictures(name: str) -> Tensor:
    """A (view, clip, 1, frames, bands) array as features, (views * clips, frames, bands)."""
    return GOLDEN[name].float().flatten(0, 1)[:, 0]


def features(encoder: Asit, audio: Tensor) -> Tensor:
    return encoder.features(audio, 0, encoder.config.frames)


def test_filter_bank_of_a_whole_clip() -> None:
    encoder = model("teacher")
    clip = GOLDEN["in/wave"][:1]
    close(encoder.front(clip - clip.mean())[0], "out/fbank_uncut", 1e-3)


def test_filter_bank_of_the_crops() -> None:
    encoder = model("teacher")
    found = features(encoder, crops())
    shape = GOLDEN["out/fbank"].shape
    close((found * 2 * CONFIG["data_std"] + CONFIG["data_mean"]).reshape(shape), "out/fbank", 1e-3)
    close(found.reshape(GOLDEN["out/normalised"].shape), "out/normalised", 1e-3)


def test_a_short_clip_is_filled_up_with_silence() -> None:
    encoder = model("teacher")
    short = GOLDEN["in/short_wave"]
    samples = round(CONFIG["secs_per_crop"] * CONFIG["sample_rate"])
    full = torch.nn.functional.pad(short, (0, samples - short.shape[1]))
    close(features(encoder, full), "out/short_normalised", 1e-3)


def test_normalisation() -> None:
    stored = (GOLDEN["out/fbank"] - CONFIG["data_mean"]) / (2 * CONFIG["data_std"])
    close(stored[:, :, None], "out/normalised", 1e-5)


def test_tokens_and_blocks() -> None:
    encoder, corrupted = model("student"), pictures("in/corrupted")
    with torch.no_grad():
        close(encoder.patches(corrupted), "out/student_patch_embed", 1e-5)
        tokens = encoder.tokens(corrupted)
        close(tokens, "out/student_tokens_in", 1e-5)
        close(encoder.run(tokens, [encoder.depth])[0], "out/student_tokens", 1e-5)
        for number, block in enumerate(encoder.blocks):
            tokens = block(tokens)
            close(tokens, f"out/student_block{number}", 1e-5)


def test_every_layer_goes_through_the_last_norm() -> None:
    encoder = model("student")
    layers = list(range(1, encoder.depth + 1))
    with torch.no_grad():
        found = encoder.run(encoder.tokens(pictures("in/corrupted")), layers)
        for number, output in zip(layers, found, strict=True):
            assert (output - encoder.norm(GOLDEN[f"out/student_block{number - 1}"])).abs().max() <= 1e-5


def test_teacher_from_the_stored_filter_bank() -> None:
    encoder = model("teacher")
    clean = (GOLDEN["out/fbank"].flatten(0, 1) - CONFIG["data_mean"]) / (2 * CONFIG["data_std"])
    with torch.no_grad():
        close(encoder.run(encoder.tokens(clean), [encoder.depth])[0], "out/teacher_tokens", 1e-5)


def test_teacher_end_to_end() -> None:
    encoder = model("teacher")
    with torch.no_grad():
        found = encoder.run(encoder.tokens(features(encoder, crops())), [encoder.depth])[0]
    close(found, "out/teacher_tokens", 1e-3)


def other(length: int) -> Tensor:
    """Features of another length, in whole patches: the authors' convolution leaves out what is over, ours fills up."""
    return GOLDEN[f"in/other_{length}"][:, 0, : length // CONFIG["patch_size"] * CONFIG["patch_size"]]


@pytest.mark.parametrize("length", LENGTHS)
def test_other_lengths_with_stretched_positions(length: int) -> None:
    encoder = model("student", positions="stretch")
    given = other(length)
    with torch.no_grad():
        table = encoder.table(length // CONFIG["patch_size"], "stretch")
        close(table[None], f"out/other_{length}_pos_embed", 1e-5)
        close(encoder.run(encoder.tokens(given), [encoder.depth])[0], f"out/other_{length}_tokens", 1e-5)


@pytest.mark.parametrize("length", SHORTER)
def test_shorter_lengths_with_cropped_positions(length: int) -> None:
    """The authors' network has none; these are its tokens at full length, cut, through its blocks."""
    encoder = model("student")
    columns = length // CONFIG["patch_size"]
    tokens = GOLDEN["out/student_tokens_in"][:, : 1 + columns * encoder.rows]
    cut = pictures("in/corrupted")[:, : columns * CONFIG["patch_size"]]
    with torch.no_grad():
        assert (encoder.tokens(cut) - tokens).abs().max() <= 1e-5


@pytest.mark.parametrize("pool", ["cls", "mean", "cls+mean", "freq_concat"])
def test_scenes_of_one_window(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of pooling, written out from the teacher's stored tokens."""
    encoder = model("teacher")
    tokens = GOLDEN["out/teacher_tokens"]
    patches = tokens[:, 1:].unflatten(1, (-1, encoder.rows))
    parts = {"cls": [tokens[:, 0]], "mean": [tokens[:, 1:].mean(1)], "freq_concat": [patches.mean(1).flatten(1)]}
    parts["cls+mean"] = parts["cls"] + parts["mean"]
    wanted = torch.cat(parts[pool], dim=-1)
    stored = (GOLDEN["out/fbank"].flatten(0, 1) - CONFIG["data_mean"]) / (2 * CONFIG["data_std"])
    monkeypatch.setattr(encoder, "features", lambda audio, start, stop, clip_context: stored[:, start:stop])
    monkeypatch.setattr(encoder, "count", lambda samples: CONFIG["num_frames"])
    found = Embedder(encoder, pool=pool).scene(crops())
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-5
