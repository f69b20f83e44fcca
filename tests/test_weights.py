"""Weight files: what is written comes back, and what is damaged, foreign or misnamed is refused with a reason."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors import torch as safetensors_torch
from torch import Tensor

import hear_audioformer
from hear_audioformer import checkpoint, msm_mae, weights
from hear_audioformer.checkpoint import Header, WeightsError
from hear_audioformer.embedder import Embedder
from hear_audioformer.msm_mae import Config, MsmMae
from tests.bundles import use_bundle

CONFIG = Config(width=16, depth=2, heads=2, bands=80, frames=32, mean=-6.5, std=3.5)
NORMALISATION = {"mean": CONFIG.mean, "std": CONFIG.std}
HEADER = Header(
    "msm-mae",
    {name: value for name, value in asdict(CONFIG).items() if name not in NORMALISATION},
    NORMALISATION,
    provenance={"recipe": "random", "steps": 0},
    licence="CC0-1.0",
)
AUDIO = torch.sin(torch.arange(12000) / 9)[None]


def tiny(seed: int = 0) -> MsmMae:
    """An encoder that a test can write, read and run in no time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MsmMae(CONFIG).eval()


def write_tiny(
    path: Path, seed: int = 0, header: Header = HEADER, changes: Mapping[str, Tensor | None] | None = None
) -> Path:
    """Its weight file; ``changes`` replace tensors, add them, or (None) take them away."""
    tensors = {**tiny(seed).state_dict(), **(changes or {})}
    checkpoint.write(path, {name: tensor for name, tensor in tensors.items() if tensor is not None}, header)
    return path


def embedding(source: str | Path, **options: Any) -> Tensor:
    """What a user gets from a source."""
    return weights.load_model(source, **options).scene(AUDIO)


def write_index(folder: Path, default: str | None = None, **entries: dict[str, Any]) -> None:
    """The index of a bundle."""
    folder.mkdir(exist_ok=True)
    (folder / "index.json").write_text(json.dumps({"default": default, "models": entries}))


def entry_of(path: Path, **fields: Any) -> dict[str, Any]:
    """The index's line about a file."""
    size, sha256 = path.stat().st_size, checkpoint.sha256(path)
    return {"method": "msm-mae", "file": path.name, "size": size, "sha256": sha256, **fields}


def flip(path: Path, position: int) -> None:
    """Damages one byte, as a bad disk would."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "model.safetensors")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty bundle in place of the package's own."""
    folder = tmp_path / "bundle"
    write_index(folder)
    use_bundle(monkeypatch, folder)
    return folder


def test_round_trip(path: Path) -> None:
    header, tensors = checkpoint.read(path)
    assert replace(header, sha256="") == replace(HEADER, config=json.loads(json.dumps(HEADER.config)))
    state = tiny().state_dict()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name]) for name in state)


def test_loaded_model_embeds_as_the_written_one(path: Path) -> None:
    encoder, _ = weights.load_encoder(path)
    assert encoder.config == CONFIG
    assert not encoder.training
    assert torch.equal(embedding(path), Embedder(tiny()).scene(AUDIO))


def test_write_returns_the_hash_of_the_file(path: Path) -> None:
    assert checkpoint.write(path, tiny().state_dict(), HEADER) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_write_makes_folders_and_a_readable_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "new" / "folder" / "model.safetensors")
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["replace", "chmod"])
def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_tiny(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tensors: object, filename: str, metadata: object) -> None:
        Path(filename).write_bytes(b"half of it")
        raise KeyboardInterrupt

    before = path.read_bytes()
    monkeypatch.setattr(safetensors_torch, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        write_tiny(path, seed=1)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_header_tells_everything_without_this_package(path: Path) -> None:
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    fields = json.loads(metadata["hear_audioformer"])
    assert fields["method"] == "msm-mae"
    assert fields["format"] == checkpoint.FORMAT
    assert fields["config"]["width"] == 16
    assert fields["normalisation"] == {"mean": -6.5, "std": 3.5}
    assert fields["provenance"] == {"recipe": "random", "steps": 0}
    assert fields["licence"] == "CC0-1.0"
    content = path.read_bytes()
    data = content[8 + int.from_bytes(content[:8], "little") :]
    seal = json.dumps({**fields, "sha256": ""}, sort_keys=True).encode() + data
    assert fields["sha256"] == hashlib.sha256(seal).hexdigest()


@pytest.mark.parametrize("position", [-1, -5000, -20000])
def test_flipped_byte_in_the_tensors_is_refused(path: Path, position: int) -> None:
    flip(path, position)
    with pytest.raises(WeightsError, match="is damaged: its content has sha256"):
        weights.load_model(path)


@pytest.mark.parametrize(
    "change", [{"licence": "public domain"}, {"normalisation": {"mean": 0.0, "std": 1.0}}, {"provenance": {"steps": 9}}]
)
def test_changed_header_is_refused(path: Path, change: dict[str, Any]) -> None:
    """Other constants would change every embedding, another licence what may be done with them."""
    header, tensors = checkpoint.read(path)
    text = json.dumps(asdict(replace(header, **change)))
    safetensors_torch.save_file(tensors, str(path), {checkpoint.KEY: text})
    with pytest.raises(WeightsError, match="is damaged: its content has sha256"):
        checkpoint.read(path)


def test_config_from_the_future_is_told_as_such(path: Path) -> None:
    write_tiny(path, header=replace(HEADER, config={**HEADER.config, "rotary": True}))
    with pytest.raises(WeightsError, match=r"config that this version does not know .*'rotary'"):
        weights.load_model(path)


def test_flipped_byte_in_the_header_never_escapes_as_another_error(path: Path) -> None:
    """Not every such byte can be noticed, but whatever is noticed must be told as what it is."""
    intact = path.read_bytes()
    for position in range(8 + int.from_bytes(intact[:8], "little")):
        flip(path, position)
        with suppress(WeightsError):
            checkpoint.read_header(path)
        path.write_bytes(intact)


@pytest.mark.parametrize("length", [1, 7, 8, 500, 5000, -1])
def test_truncated_file_is_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        weights.load_model(path)


def test_pickle_is_refused(path: Path) -> None:
    torch.save(tiny().state_dict(), path)
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        weights.load_model(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_file_without_header_is_referred_to_convert(path: Path, metadata: dict[str, str] | None) -> None:
    safetensors_torch.save_file(tiny().state_dict(), path, metadata)
    with pytest.raises(WeightsError, match="no hear_audioformer header; `hear-audioformer convert`"):
        weights.load_model(path)


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"format": 1}', '{"format": 1, "method": "x", "other": 2}'])
def test_header_of_another_shape_is_refused(path: Path, text: str) -> None:
    safetensors_torch.save_file(tiny().state_dict(), path, {checkpoint.KEY: text})
    with pytest.raises(WeightsError, match=r"damaged hear_audioformer header|has format None"):
        weights.load_model(path)


def test_format_from_the_future_is_refused(path: Path) -> None:
    write_tiny(path, header=replace(HEADER, format=checkpoint.FORMAT + 1))
    with pytest.raises(WeightsError, match=r"has format 2, this version reads 1; upgrade"):
        weights.load_model(path)


def test_field_from_the_future_in_a_future_format_is_told_as_such(path: Path) -> None:
    fields = {**asdict(HEADER), "format": 2, "novelty": True}
    safetensors_torch.save_file(tiny().state_dict(), path, {checkpoint.KEY: json.dumps(fields)})
    with pytest.raises(WeightsError, match="upgrade the package"):
        weights.load_model(path)


def test_every_fault_of_the_parameters_is_listed(path: Path) -> None:
    changes: dict[str, Tensor | None] = {
        "norm.weight": None,
        "norm.extra": torch.zeros(3),
        "norm.bias": torch.zeros(17),
    }
    write_tiny(path, changes=changes)
    with pytest.raises(WeightsError) as caught:
        weights.load_model(path)
    message = str(caught.value)
    assert "1 missing: norm.weight" in message
    assert "1 not part of the model: norm.extra" in message
    assert "1 of another shape: norm.bias is (17,), expected (16,)" in message


@pytest.mark.parametrize(("count", "ending"), [(8, "p7"), (9, "p7 ...")])
def test_long_lists_of_faults_are_cut(path: Path, count: int, ending: str) -> None:
    write_tiny(path, changes={f"p{i}": torch.zeros(1) for i in range(count)})
    with pytest.raises(WeightsError, match=re.escape(f"{count} not part of the model: p0, p1") + f".*{ending}$"):
        weights.load_model(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type_loads_as_float32(path: Path, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in tiny().state_dict().items()}
    checkpoint.write(path, state, HEADER)
    encoder, _ = weights.load_encoder(path)
    loaded = encoder.state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert all(torch.equal(loaded[name], state[name].float()) for name in state)


def test_unknown_method_is_refused(path: Path) -> None:
    write_tiny(path, header=replace(HEADER, method="nonesuch"))
    with pytest.raises(WeightsError, match=r"unknown method 'nonesuch'; this version knows .*msm-mae"):
        weights.load_model(path)


def test_module_of_a_method_refuses_another_method(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.METHODS, "sibling", "msm_mae")
    write_tiny(path, header=replace(HEADER, method="sibling"))
    assert weights.load_model(path).scene_embedding_size == 80
    with pytest.raises(WeightsError, match=r"of method sibling, not msm-mae; use hear_audioformer\.load_model"):
        msm_mae.load_model(str(path))


@pytest.mark.parametrize("load", [weights.load_model, msm_mae.load_model])
def test_unknown_option_lists_the_known_ones(path: Path, load: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"unknown option hopms for .*hop_ms, pool, .*normalisation, short"):
        load(str(path), hopms=20)


def test_options_reach_the_embedder_and_the_encoder(path: Path) -> None:
    model = weights.load_model(path, pool="mean+std", short="pad", normalisation=[-5.0, 2.0])
    assert model.scene_embedding_size == 160
    assert model.encoder.pad_short
    assert (model.encoder.config.mean, model.encoder.config.std) == (-5.0, 2.0)


@pytest.mark.parametrize("module", [hear_audioformer, msm_mae])
def test_no_source_and_no_default_says_so(bundle: Path, module: ModuleType) -> None:
    with pytest.raises(WeightsError, match=r"no trained .* weights come with this version yet: pass a weight file"):
        module.load_model()


@pytest.mark.parametrize("kind", [str, Path])
def test_empty_file_counts_as_no_source(bundle: Path, tmp_path: Path, kind: type) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(WeightsError, match="no trained default weights"), pytest.warns(UserWarning, match="is empty"):
        weights.load_model(kind(empty))
    write_index(bundle, "mine", mine=entry_of(write_tiny(bundle / "mine.safetensors")))
    with pytest.warns(UserWarning, match="is empty"):
        found = embedding(kind(empty))
    assert torch.equal(found, embedding("mine"))


def test_default_of_all_and_of_a_method(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.METHODS, "sibling", "msm_mae")
    first = write_tiny(bundle / "first.safetensors", seed=1, header=replace(HEADER, method="sibling"))
    second = write_tiny(bundle / "second.safetensors", seed=2)
    write_index(bundle, "first", first=entry_of(first, method="sibling"), second=entry_of(second))
    assert torch.equal(embedding(""), embedding(first))
    assert torch.equal(msm_mae.load_model().scene(AUDIO), embedding(second))
    assert weights.list_models() == ["first", "second"]
    assert weights.list_models("msm-mae") == ["second"]


def test_name_of_the_index_comes_before_a_path(bundle: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = write_tiny(bundle / "named.safetensors", seed=1)
    write_index(bundle, model=entry_of(named))
    monkeypatch.chdir(path.rename(path.parent / "model").parent)
    assert weights.resolve("model") == named
    assert weights.resolve("./model") == Path("model")


def test_bundled_file_is_verified(bundle: Path) -> None:
    """By the index: a whole and well-formed file is still refused if it is not the one that was meant."""
    path = write_tiny(bundle / "mine.safetensors")
    write_index(bundle, mine=entry_of(path))
    weights.load_model("mine")
    write_tiny(path, seed=1)
    checkpoint.read(path)
    with pytest.raises(WeightsError, match=r"mine\.safetensors is damaged: hash .*; install the package again"):
        weights.load_model("mine")
    assert path.is_file()


def test_damaged_file_behind_a_link_stays(bundle: Path, path: Path) -> None:
    """Only the Hub's cache is ours to clean up."""
    link = bundle / "mine.safetensors"
    link.symlink_to(path)
    (bundle / "index.json").rename(path.parent / "index.json")
    (bundle / "index.json").symlink_to(path.parent / "index.json")  # as where an installer links every file
    write_index(bundle, mine=entry_of(link, sha256="0" * 64))
    with pytest.raises(WeightsError, match="is damaged"):
        weights.load_model("mine")
    assert path.is_file()


def test_missing_bundled_file_without_a_repository(bundle: Path) -> None:
    write_index(bundle, mine={"method": "msm-mae", "file": "mine.safetensors", "size": 1, "sha256": "0" * 64})
    with pytest.raises(WeightsError, match=r"mine\.safetensors is missing from .* install the package again"):
        weights.load_model("mine")


def test_unknown_name_lists_the_known_ones(bundle: Path) -> None:
    with pytest.raises(WeightsError, match="is called 'nonesuch'; models known by name: none yet"):
        weights.load_model("nonesuch")
    write_index(bundle, mine=entry_of(write_tiny(bundle / "mine.safetensors")))
    with pytest.raises(WeightsError, match="models known by name: mine"):
        weights.load_model("nonesuch")


def test_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file and no model"):
        weights.load_model(tmp_path)


def test_index_of_the_package_is_sound() -> None:
    """Whatever is bundled is what the index says, and defaults are models."""
    index = weights.index()
    assert index.default is None or index.default in index.models
    for entry in index.models.values():
        path = weights.bundle() / entry.file
        assert entry.method in weights.METHODS | weights.PARTS
        assert path.is_file() or (entry.repo and re.fullmatch(r"[0-9a-f]{40}", entry.revision or ""))
        assert not path.is_file() or (path.stat().st_size, checkpoint.sha256(path)) == (entry.size, entry.sha256)


def test_one_file_opens_pickles_and_converters_alone_import_it() -> None:
    package = Path(hear_audioformer.__file__).parent
    converters = {package / "pickles.py", package / "codec" / "encodec.py"}
    sources = [p for p in package.rglob("*.py") if package / "convert" not in p.parents and p not in converters]
    assert package / "weights.py" in sources
    assert "torch.load" not in (package / "codec" / "encodec.py").read_text()
    unsafe = re.compile(r"torch\.load\b|^\s*(?:import|from)\s+\S*pickle|\bimport\b.*\bpickle", re.MULTILINE)
    assert [path.name for path in sources if unsafe.search(path.read_text())] == []
