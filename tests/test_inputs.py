"""What is no waveform is refused in one line that says what to do, at every entry, before or after the forward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

import hear_audioformer
from hear_audioformer import audio, get_scene_embeddings, get_timestamp_embeddings
from hear_audioformer.clips import LOUDEST
from hear_audioformer.embedder import Embedder, Encoder
from tests.conftest import small_encoder
from tests.test_cli import run

RATE = 16000
ENTRIES: dict[str, Callable[[Any, Embedder], Any]] = {
    "embed": lambda given, model: hear_audioformer.embed(given[0], model, sample_rate=RATE),
    "scene": lambda given, model: model.scene(given),
    "listed": lambda given, model: model.scene([given[0]]),
    "timestamps": lambda given, model: model.timestamps(given),
    "frames": lambda given, model: model.frames(given),
    "hear scenes": lambda given, model: get_scene_embeddings(given, model),
    "hear timestamps": lambda given, model: get_timestamp_embeddings(given, model),
}
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "int16": (torch.zeros(1, RATE, dtype=torch.int16), TypeError, r"int16: scale it .* int16 as audio / 32768"),
    "numpy int16": (np.zeros((1, RATE), np.int16), TypeError, r"int16: scale it .* int16 as audio / 32768"),
    "big endian": (np.zeros((1, RATE), ">i2"), TypeError, r"int16: scale it .* int16 as audio / 32768"),
    "uint8": (np.zeros((1, RATE), np.uint8), TypeError, r"uint8: scale it to floats"),
    "bool": (torch.zeros(1, RATE, dtype=torch.bool), TypeError, r"bool: scale it to floats"),
    "complex": (np.zeros((1, RATE), np.complex64), TypeError, r"complex64: samples are real numbers"),
    "text": (np.array([["a", "b"]]), TypeError, "makes no waveform"),
    "meta": (torch.zeros(1, RATE, device="meta"), TypeError, "on the meta device"),
    "1e18": (np.full((1, RATE), 1e18, np.float32), ValueError, r"samples up to 1e\+18 in clip 0: scale audio"),
    "1e300": (np.full((1, RATE), 1e300), ValueError, r"samples up to 1e\+300 in clip 0: scale audio"),
    "NaN": (np.full((1, RATE), np.nan), ValueError, "NaN or infinite samples in clip 0"),
    "empty": (np.zeros((1, 0), np.float32), ValueError, "clip 0 is empty"),
}


@pytest.fixture(scope="module")
def model() -> Embedder:
    return Embedder(small_encoder("msm-mae"))


@pytest.mark.parametrize("entry", list(ENTRIES))
@pytest.mark.parametrize("kind", list(WRONG))
def test_every_entry_refuses(model: Embedder, entry: str, kind: str) -> None:
    given, error, message = WRONG[kind]
    with pytest.raises(error, match=message) as caught:
        ENTRIES[entry](given, model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name not in ("embed", "listed")])
def test_sparse_audio_is_refused(model: Embedder, entry: str) -> None:
    with pytest.raises(TypeError, match=r"sparse tensor .*; pass audio\.to_dense"):
        ENTRIES[entry](torch.zeros(1, RATE).to_sparse(), model)


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "embed"])
@pytest.mark.parametrize("dtype", [">f4", "<f8", "<f2", "<f4"])
def test_numpy_is_as_good_as_torch(model: Embedder, entry: str, dtype: str) -> None:
    samples = np.sin(np.arange(9000) / 9)[None].astype(dtype)
    wanted, found = (ENTRIES[entry](given, model) for given in (torch.tensor(samples.astype("f8")), samples))
    pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_waveform_turned_round(model: Embedder) -> None:
    samples = np.sin(np.arange(9000) ** 1.2)[::-1]
    assert torch.equal(model.scene([samples]), model.scene(samples.copy()[None]))


@pytest.mark.parametrize(
    ("given", "remedy"),
    [(np.zeros((2, RATE)), r"average channels, audio\.mean\(0\)"), (np.zeros((RATE, 2)), r"audio\.mean\(1\)")],
)
def test_stereo_is_told_to_be_averaged(model: Embedder, given: np.ndarray, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        hear_audioformer.embed(given, model, sample_rate=RATE)
    with pytest.raises(ValueError, match=remedy):
        model.scene([given])
    with pytest.raises(ValueError, match=r"got \(1, 2, 16000\); average its channels, audio\.mean\(1\)"):
        model.scene(np.zeros((1, 2, RATE)))


def test_a_name_is_no_waveform(model: Embedder) -> None:
    for call in (model.scene, model.timestamps):
        with pytest.raises(TypeError, match=r"audio is a str, not waveforms; hear_audioformer\.embed reads files"):
            call("a.wav")
    with pytest.raises(ValueError, match="2 clips in a list"):
        model.timestamps([torch.zeros(9), torch.zeros(10)])


@pytest.mark.parametrize("rate", [0, -1, 16000.5, "16000", float("nan"), 10**9])
def test_a_rate_is_a_rate(model: Embedder, rate: Any) -> None:
    with pytest.raises(ValueError, match=f"sample_rate={rate!r} is not a whole number of Hz"):
        hear_audioformer.embed(np.zeros(99), model, sample_rate=rate)


def test_as_loud_as_allowed_is_finite(encoder: Encoder) -> None:
    loud = LOUDEST * torch.sign(torch.sin(torch.arange(2 * RATE) * 0.7))[None]
    for precision in ("fp32", "bf16"):
        model = Embedder(encoder, precision=precision)  # type: ignore[arg-type]
        assert torch.isfinite(model.scene(torch.cat([loud, torch.full_like(loud, LOUDEST)]))).all()
        assert torch.isfinite(model.timestamps(loud)[0]).all()


def test_an_embedding_that_is_no_number_names_its_clip(encoder: Encoder) -> None:
    """Weights that went wrong after they were loaded, here for one clip alone."""

    def spoil(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        return torch.where(torch.arange(len(out)).reshape(-1, *[1] * (out.ndim - 1)) == 1, torch.nan, out)

    encoder.blocks[0].register_forward_hook(spoil)
    model = Embedder(encoder)
    given = 0.1 * torch.randn(3, 4000)
    for call in (model.scene, model.timestamps, model.frames):
        with pytest.raises(ValueError, match="NaN or infinite values in the embedding of clip 1: "):
            call(given)


def test_a_model_without_values_says_so(encoder: Encoder) -> None:
    model = Embedder(encoder).to("meta")
    for call in (model.scene, model.timestamps):
        with pytest.raises(ValueError, match="model is on the meta device"):
            call(torch.zeros(1, 4000))


def test_a_file_too_loud_stops_nothing(model_file: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", np.full(4000, 0.1), RATE)
    soundfile.write(tmp_path / "loud.wav", np.full(4000, 1e20, np.float32), RATE, subtype="FLOAT")
    out = tmp_path / "out.npz"
    result = run("embed", tmp_path / "good.wav", tmp_path / "loud.wav", "-o", out, "--model", model_file)
    assert result.exit_code == 1
    assert "1 of 2 files" in result.stdout
    assert "loud.wav: samples up to 1e+20" in result.stderr


def test_a_file_that_is_not_there(model: Embedder, tmp_path: Path) -> None:
    with pytest.raises(audio.AudioError, match=r"nowhere\.wav: no such file"):
        hear_audioformer.embed(tmp_path / "nowhere.wav", model)
