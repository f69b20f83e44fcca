"""``AutoModel.from_pretrained`` with the real transformers, of a folder and of a repository on a small Hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hear_audioformer import weights
from hear_audioformer.publish import remote_code
from tests.hub_server import serving
from tests.test_weights import AUDIO, embedding, write_tiny

pytest.importorskip("transformers")

ROOT = Path(__file__).parents[2]
REPO = "someone/tiny"
SCRIPT = """
import json, sys, torch
from transformers import AutoModel

name, revision = sys.argv[1:]
model = AutoModel.from_pretrained(name, revision=revision, trust_remote_code=True)
out = model(torch.sin(torch.arange(12000) / 9)[None])
model.save_pretrained("again")
again = AutoModel.from_pretrained("./again", trust_remote_code=True)
assert torch.equal(again(torch.sin(torch.arange(12000) / 9)[None])[1], out.pooler_output)
facts = [type(model).__name__, model.config.sample_rate, list(out.last_hidden_state.shape), out.pooler_output.tolist()]
json.dump(facts, sys.stdout)
"""


def test_auto_model_of_a_repository(tmp_path: Path) -> None:
    """In a process of its own: transformers reads HF_HOME and HF_ENDPOINT when it is imported."""
    file = write_tiny(tmp_path / "tiny.safetensors")
    files = {
        "tiny.safetensors": file.read_bytes(),
        "config.json": remote_code.config("tiny.safetensors", "msm-mae").encode(),
        remote_code.CODE: remote_code.MODULE.encode(),
    }
    with serving() as hub:
        revision = hub.commit(REPO, files)
        hub.commit(REPO, {**files, "tiny.safetensors": write_tiny(tmp_path / "newer.safetensors", seed=1).read_bytes()})
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        shell = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
        shell |= {"HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)}
        program = [sys.executable, "-c", SCRIPT, REPO, revision]
        done = subprocess.run(
            program, cwd=tmp_path, env={**inherited, **shell}, check=True, stdout=subprocess.PIPE, text=True
        )
    name, rate, frames, scenes = json.loads(done.stdout)
    assert (name, rate) == ("HearAudioformerModel", 16000)
    torch.testing.assert_close(torch.tensor(scenes), embedding(file))
    assert frames == list(weights.load_model(file).timestamps(AUDIO)[0].shape)


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    from hear_audioformer.adapters.transformers import HearAudioformerModel

    write_tiny(tmp_path / "tiny.safetensors")
    with pytest.raises(TypeError, match="attn_implementation: no options of this model"):
        HearAudioformerModel.from_pretrained(tmp_path, attn_implementation="sdpa")
    assert HearAudioformerModel.from_pretrained(tmp_path, pool="mean+std").embedder.pool == "mean+std"
