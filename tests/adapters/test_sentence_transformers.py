"""The module in a real SentenceTransformer: encode, save, load."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.test_weights import AUDIO, embedding, write_tiny

sentence_transformers = pytest.importorskip("sentence_transformers", minversion="6")
adapter = pytest.importorskip("hear_audioformer.adapters.sentence_transformers")


def test_encode_save_load(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "tiny.safetensors")
    model = sentence_transformers.SentenceTransformer(modules=[adapter.HearModule(file, pool="mean+std")], device="cpu")
    path = tmp_path / "a.wav"
    soundfile.write(path, AUDIO[0].numpy(), 16000, subtype="FLOAT")
    clip = {"array": AUDIO[0].numpy(), "sampling_rate": 16000}
    short = {"array": AUDIO[0, :5000].numpy(), "sampling_rate": 16000}
    vectors = model.encode([str(path), clip, short])
    expected = embedding(file, pool="mean+std")
    np.testing.assert_allclose(vectors[:2], expected.expand(2, -1).numpy(), atol=1e-5)
    np.testing.assert_allclose(model.encode(short), vectors[2], atol=1e-5)  # padding plays no part
    assert model.get_embedding_dimension() == expected.shape[1]
    model.save(str(tmp_path / "saved"))
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu", trust_remote_code=True)
    np.testing.assert_array_equal(again.encode([clip, short]), model.encode([clip, short]))


def test_a_head_after_it_learns(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense

    module = adapter.HearModule(write_tiny(tmp_path / "tiny.safetensors"))
    model = sentence_transformers.SentenceTransformer(
        modules=[module, Dense(module.get_embedding_dimension(), 4)], device="cpu"
    )
    features = model.preprocess([{"array": AUDIO[0].numpy(), "sampling_rate": 16000}])
    model(features)["sentence_embedding"].sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == [
        "1.linear.weight",
        "1.linear.bias",
    ]
    assert torch.isfinite(model[1].linear.weight.grad).all()
