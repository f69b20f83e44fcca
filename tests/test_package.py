"""What is installed: a wheel with weights inside, thin imports, no trace of the training code."""

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

import hear_audioformer
from hear_audioformer import weights

ROOT = Path(__file__).parent.parent


def test_a_wheel_finds_its_weights(tmp_path: Path) -> None:
    """Built and installed without the network, and used from elsewhere."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {f"hear_audioformer/bundled/{path.name}" for path in (ROOT / "weights").glob("*.safetensors")}
    assert shipped | {"hear_audioformer/bundled/index.json", "hear_audioformer/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith(("training/", "evaluation/", "tests/"))]
    target = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    code = "import hear_audioformer as h, hear_audioformer.weights as w; print(w.bundle()); print(h.load_model().scene)"
    environment = {**os.environ, "PYTHONPATH": str(target), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[0] == str(target / "hear_audioformer" / "bundled")


def test_the_readmes_first_command_embeds_offline(tmp_path: Path) -> None:
    """As it stands there, without its installation; the vector differs from that of silence."""
    [command] = re.findall(r"\.venv/bin/(hear-audioformer embed .*)", (ROOT / "README.md").read_text())
    _, *arguments, out = shlex.split(command)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    start = "from hear_audioformer.cli import main; main()"
    program = [sys.executable, "-c", start, *arguments, str(tmp_path / out)]
    subprocess.run(program, check=True, cwd=ROOT, env=environment, capture_output=True)
    [vector] = np.load(tmp_path / out)["embeddings"]
    model = hear_audioformer.load_model()
    silence = hear_audioformer.get_scene_embeddings(torch.zeros(1, 16000), model)[0]
    assert vector.shape == (model.scene_embedding_size,)
    assert np.isfinite(vector).all()
    assert np.abs(vector - silence.numpy()).max() > 0.1


def test_the_package_does_not_import_what_only_some_need() -> None:
    code = "import hear_audioformer, hear_audioformer.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = ("training", "evaluation", "pyarrow", "matplotlib", "lightning", "transformers", "timm", "torchvision")
    assert not [name for name in loaded if name.split(".")[0] in unwanted]


def test_the_index_is_true() -> None:
    """Every bundled file is there with the size and hash that the index states; the default is one of them."""
    raw = json.loads((ROOT / "weights" / "index.json").read_text())
    assert raw["default"] is None or raw["default"] in raw["models"]
    for entry in weights.index().models.values():
        path = ROOT / "weights" / entry.file
        if path.exists():
            assert path.stat().st_size == entry.size
            assert weights.checkpoint.sha256(path) == entry.sha256


def test_one_version() -> None:
    """``__init__.py`` says it, setup.py reads it there without an import, and CHANGELOG.md begins with it."""
    say = [sys.executable, "setup.py", "--version"]
    shown = subprocess.run(say, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split()[-1] == hear_audioformer.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(.*?)\]", changes, re.MULTILINE)[0] == hear_audioformer.__version__
