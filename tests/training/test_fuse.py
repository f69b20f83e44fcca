"""Making a fusion: parts as a user names them, statistics of a corpus, axes that are principal."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import hear_audioformer
from corpora.pack import Pack
from hear_audioformer import checkpoint, weights
from hear_audioformer.fusion.composition import Standardisation
from tests.conftest import part_file, small_fusion, write_model
from tests.training.data.test_crops import small_pack
from training import untrained
from training.fuse import FAINTEST, SECONDS, crops, embedded, fit, main, principal_axes

KINDS = [("speech", "a", 3.0), ("music", "b", 9.0), ("sfx", "c", 0.3)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three clips of noise."""
    pack = small_pack(tmp_path / "corpus", KINDS)
    noise = np.random.default_rng(0).standard_normal(len(pack.samples)) * 3000
    noise.astype("<i2").tofile(tmp_path / "corpus" / "pack.int16")
    return tmp_path / "corpus"


def fuse(corpus: Path, *arguments: str) -> Result:
    out = corpus.parent / "out"
    out.mkdir(exist_ok=True)
    command = ["mine", str(corpus), "--licence", "CC0-1.0", "--out", str(out), *arguments]
    return CliRunner().invoke(main, command)


def test_from_a_corpus_to_a_model(corpus: Path) -> None:
    """Its scenes of the corpus have mean 0, mean variance 1 and no correlations, and it is entered into the index."""
    model_part = f"{part_file('msm-mae')} layers=[1,-1] pool=mean components=[6,5]"
    made = ["--part", model_part, "--part", "modulation components=[4,3]", "--crops", "24"]
    result = fuse(corpus, *made)
    assert result.exit_code == 0, result.output
    file = corpus.parent / "out" / "mine.safetensors"
    header = checkpoint.read_header(file)
    index = json.loads((file.parent / "index.json").read_text())
    assert index["models"]["mine"]["sha256"] == checkpoint.sha256(file)
    assert header.config["parts"][0]["sha256"] == checkpoint.sha256(part_file("msm-mae"))
    assert header.provenance["corpus_sha256"] == "abc"
    assert header.provenance["crops"] == 24
    shares = header.provenance["variance_of_components"]["scene"]
    assert len(shares) == 2
    assert all(0.3 < share < 1 for share in shares)
    model = hear_audioformer.load_model(file)
    scenes, frames = embedded(model, Pack.open(corpus), 24, seed=0)
    assert (scenes.shape[1], frames.shape[1]) == (10, 8)
    for values, split in ((scenes, 6), (frames, 5)):
        assert values.mean(0).abs().max() < 5e-3
        for part in (values[:, :split], values[:, split:]):
            assert float(part.var(0).mean()) == pytest.approx(1, abs=2e-2)
            assert (part.var(0).diff() <= 0).all()
            assert (torch.corrcoef(part.T) - torch.eye(part.shape[1])).abs().max() < 2e-2
    small = hear_audioformer.load_model(file, dims=5)
    few = embedded(small, Pack.open(corpus), 24, seed=0)[0]
    assert torch.allclose(few, scenes[:, [0, 1, 2, 6, 7]], atol=1e-4)


def test_the_same_seed_makes_the_same_file(corpus: Path) -> None:
    digests = []
    for seed in (0, 0, 1):
        arguments = ("--part", "log-frequency components=[2,2]", "--crops", "6", "--overwrite")
        assert fuse(corpus, *arguments, f"--seed={seed}").exit_code == 0
        digests.append(checkpoint.sha256(corpus.parent / "out" / "mine.safetensors"))
    assert digests[0] == digests[1] != digests[2]


def test_dims_of_a_file_are_its_default(corpus: Path) -> None:
    arguments = ("--part", "modulation components=[4,4]", "--crops", "9")
    assert fuse(corpus, *arguments, "--dims", "3").exit_code == 0
    file = corpus.parent / "out" / "mine.safetensors"
    assert hear_audioformer.load_model(file).scene_embedding_size == 3
    assert hear_audioformer.load_model(file, dims=0).scene_embedding_size == 4


def test_crops_are_parts_of_clips_of_all_lengths(corpus: Path) -> None:
    lengths = [len(crop) / 16000 for crop in crops(Pack.open(corpus), 60, seed=0)]
    assert {*SECONDS, *(seconds for _, _, seconds in KINDS)} >= {*lengths}
    assert len({*lengths}) > 4


@pytest.mark.parametrize("rows", [12, 90])
def test_axes_are_those_of_a_decomposition(rows: int) -> None:
    """Of fewer and of more rows than values."""
    values = torch.randn(rows, 40, generator=torch.Generator().manual_seed(0)).double()
    values = (values - values.mean(0)) * torch.linspace(3, 0.1, 40)
    values -= values.mean(0)
    axes, share = principal_axes(values, 6)
    _, wanted, directions = torch.linalg.svd(values, full_matrices=False)
    assert torch.allclose((axes * directions[:6]).sum(1).abs(), torch.ones(6).double(), atol=1e-6)
    assert torch.allclose(axes @ axes.mT, torch.eye(6).double(), atol=1e-6)
    assert share == pytest.approx(float((wanted[:6] ** 2).sum() / (wanted**2).sum()))
    assert (axes.sum(1) > 0).all()


def test_values_that_hardly_change_are_not_blown_up() -> None:
    values = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    values[:, 1] = 7.0
    standardisation = Standardisation([(2, 0), (2, 0)], [2, 2])
    fit(standardisation, values)
    assert standardisation.std[1] == pytest.approx(FAINTEST * float(values[:, :2].std(0).mean()), rel=1e-5)
    assert torch.allclose(standardisation.std[2:], values[:, 2:].std(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--part", "nonesuch"], "no file and no model is called 'nonesuch'"),
        (["--part", "modulation pool=mean"], "pool is no option of it"),
        (["--part", "modulation layers"], "'layers' is not of the form KEY=VALUE"),
        (["--part", "modulation components=[9,2]", "--crops", "4"], "have no 9 principal axes: draw more crops"),
        (["--part", "modulation components=[2,2]", "--dims", "3"], "dims=3: this fusion has up to 2"),
        (["--part", "modulation components=[2,281]"], "frame_components=281: modulation gives only 280 values"),
        (["--part", "modulation components=7"], "give components of scenes and of timestamps"),
        (["--part", "gabor layers=[1]"], "layers is no option of it; it has components"),
        ([], "Missing option '--part'"),
    ],
)
def test_what_cannot_be_fused_is_said(corpus: Path, arguments: list[str], message: str) -> None:
    result: Any = fuse(corpus, *arguments)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.split())
    assert not (corpus.parent / "out" / "mine.safetensors").exists()


def test_a_model_takes_layers_and_pool_alone(corpus: Path) -> None:
    result = fuse(corpus, "--part", f"{part_file('msm-mae')} hop_ms=20")
    assert "hop_ms is no option of it; it has layers, pool and components" in " ".join(result.output.split())


def test_an_untrained_fusion_keeps_its_front_ends_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = write_model(small_fusion(), "fusion", tmp_path / "fused.safetensors")
    trained, fresh = weights.open_model(path), untrained.load_model(str(path), seed=1)
    audio = 0.1 * torch.randn(2, 16000)
    same = (trained.scene(audio) == fresh.scene(audio)).all(0)
    sizes = [part.scene for part in small_fusion().config.parts]
    fronts = [bool(part.front) for part in small_fusion().config.parts]
    assert [bool(part.all()) for part in same.split(sizes)] == fronts
    assert torch.equal(untrained.load_model(str(path), seed=1).scene(audio), fresh.scene(audio))
    assert len(untrained.source_modules(fresh)) == fronts.count(False)
