"""Publishing by the real client on a small Hub on this machine: the card, one commit, the pinned entry, and back."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import ModelCard, constants

import hear_audioformer
from hear_audioformer import checkpoint, cli, weights
from hear_audioformer.errors import StoreError, WeightsError
from hear_audioformer.publish import card, licences, push, remote_code
from hear_audioformer.publish.run import publish
from tests.hub_server import HubServer
from tests.hub_writes import TOKEN
from tests.test_hub import cache, hub, of_client_1  # noqa: F401 - fixtures
from tests.test_weights import AUDIO, HEADER, embedding, write_tiny

ROOT = Path(__file__).parent.parent
REPO = "someone/tiny"
CARD = """# tiny

A small model.

## Evaluation

| task | tiny | logmel |
|---|---|---|
| drum | 59.2 (49.3 to 69.1) | 51.8 (40.3 to 63.3) |
| pitch | 71.2 (66.6 to 75.8) | 68.6 (63.7 to 73.4) |
| mean | 65.2 (60.0 to 70.0) | 60.2 (55.0 to 65.0) |
| tasks won | | 2 of 2 |

![loss](tiny.png)
"""


@pytest.fixture
def server(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:  # noqa: F811
    """A Hub where the user may write; without Xet, which the server does not speak."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = write_tiny(tmp_path / "local" / "tiny.safetensors")
    path.with_suffix(".md").write_text(CARD)
    path.with_suffix(".png").write_bytes(b"a picture")
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.main, ["publish", *map(str, arguments)])


def head(server: HubServer, repo: str = REPO) -> dict[str, bytes]:
    return server.commits[repo][server.branches[repo]]


def test_one_commit_holds_what_users_and_the_hub_need(server: HubServer, file: Path) -> None:
    done = publish(file, REPO)
    assert server.branches[REPO] == done.revision
    assert len(server.commits[REPO]) == 2  # the Hub's own first one, and ours
    files = head(server)
    assert set(files) == {
        ".gitattributes",
        "README.md",
        "config.json",
        "tiny.png",
        "tiny.safetensors",
        remote_code.CODE,
    }
    assert files["tiny.safetensors"] == file.read_bytes()


def test_entry_of_the_index_pins_the_commit(server: HubServer, file: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    result = run(file, "--repo", REPO, "--index", index)
    assert result.exit_code == 0, result.output
    revision = server.branches[REPO]
    entry = {
        "method": "msm-mae",
        "file": "tiny.safetensors",
        "size": file.stat().st_size,
        "sha256": checkpoint.sha256(file),
        "repo": REPO,
        "revision": revision,
    }
    assert json.loads(result.stdout) == {"tiny": entry}
    assert json.loads(index.read_text()) == {"default": None, "models": {"tiny": entry}}
    address = f"hf://{REPO}@{revision}/tiny.safetensors"
    assert address in result.stderr
    assert torch.equal(embedding(address), embedding(file))


@pytest.mark.usefixtures("server")
def test_from_pretrained_gives_the_same_embedding(file: Path) -> None:
    first = publish(file, REPO).revision
    assert torch.equal(hear_audioformer.from_pretrained(REPO).scene(AUDIO), embedding(file))
    newer = write_tiny(file, seed=1)
    publish(newer, REPO, overwrite=True)
    assert torch.equal(hear_audioformer.from_pretrained(REPO).scene(AUDIO), embedding(newer))
    old = hear_audioformer.Embedder.from_pretrained(REPO, first, pool="mean+std")
    assert old.scene_embedding_size == 2 * weights.load_model(newer).scene_embedding_size
    assert not torch.equal(hear_audioformer.from_pretrained(REPO, first).scene(AUDIO), embedding(newer))


@of_client_1
def test_from_pretrained_offline(server: HubServer, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(file, REPO)
    with pytest.MonkeyPatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(WeightsError, match=f"hf://{REPO}@main is not in the cache"):
            hear_audioformer.from_pretrained(REPO)
    hear_audioformer.from_pretrained(REPO)
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(hear_audioformer.from_pretrained(REPO).scene(AUDIO), embedding(file))
    assert server.requests == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.safetensors": b"", "b.safetensors": b""}, "holds several: a.safetensors, b.safetensors; name one"),
        ({"model.bin": b""}, "must hold one .safetensors file, and holds none"),
    ],
)
def test_from_pretrained_needs_one_file(server: HubServer, files: dict[str, bytes], message: str) -> None:
    server.commit(REPO, files)
    with pytest.raises(WeightsError, match=message):
        hear_audioformer.from_pretrained(REPO)


@pytest.mark.usefixtures("server")
def test_from_pretrained_names_what_is_missing(file: Path) -> None:
    publish(file, REPO)
    with pytest.raises(WeightsError, match="no such repository"):
        hear_audioformer.from_pretrained("nobody/tiny")
    with pytest.raises(WeightsError, match="no revision 'v7'"):
        hear_audioformer.from_pretrained(REPO, "v7")
    with pytest.raises(WeightsError, match="not of the form OWNER/NAME"):
        hear_audioformer.from_pretrained("tiny")


def test_push_to_hub_sends_the_file_as_it_is(server: HubServer, file: Path) -> None:
    model = hear_audioformer.load_model(file)
    assert model.push_to_hub(REPO) == server.branches[REPO]
    assert head(server)["tiny.safetensors"] == file.read_bytes()


@pytest.mark.parametrize("name", ["msm-mae-tiny", "asit-tiny", "mast-tiny", "audioformer-mini"])
def test_an_unchanged_model_of_any_method_is_its_own_file(name: str) -> None:
    model = hear_audioformer.load_model(name)
    with push.weight_file(model, "x") as path:
        assert path == weights.resolve(name)
    changed = hear_audioformer.load_model(name, layers=[1])
    with push.weight_file(changed, "x") as path:
        assert path.name == "x.safetensors"
        assert torch.equal(embedding(path), changed.scene(AUDIO))


def test_push_to_hub_writes_what_has_changed(server: HubServer, file: Path, tmp_path: Path) -> None:
    model = hear_audioformer.load_model(file, pool="mean+std", layers=[1])
    with torch.no_grad():
        next(model.encoder.parameters()).add_(0.1)
    model.push_to_hub("someone/changed")
    again = hear_audioformer.from_pretrained("someone/changed")
    torch.testing.assert_close(again.scene(AUDIO), model.scene(AUDIO))
    path = tmp_path / "changed.safetensors"
    path.write_bytes(head(server, "someone/changed")["changed.safetensors"])
    header = checkpoint.read_header(path)
    assert header.licence == HEADER.licence
    assert header.provenance["changed_from_sha256"] == checkpoint.sha256(file)
    assert (again.pool, again.layers) == ("mean+std", [1])


@pytest.mark.usefixtures("server")
def test_push_to_hub_of_a_model_without_a_licence() -> None:
    model = hear_audioformer.Embedder(hear_audioformer.weights.load_encoder("msm-mae-tiny")[0])
    with pytest.raises(StoreError, match=r"licence is 'unknown'.*pass --licence"):
        model.push_to_hub("someone/own")
    model.push_to_hub("someone/own", licence="cc0-1.0")
    assert torch.equal(hear_audioformer.from_pretrained("someone/own").scene(AUDIO), model.scene(AUDIO))


def test_another_content_is_not_replaced_unasked(server: HubServer, file: Path) -> None:
    first = publish(file, REPO).revision
    assert publish(file, REPO).revision == first  # nothing new, no commit
    write_tiny(file, seed=1)
    result = run(file, "--repo", REPO)
    assert result.exit_code == 2
    assert result.output.strip() == (
        f"Error: {REPO} holds another tiny.safetensors: pass --overwrite to replace, or another --repo"
    )
    assert server.branches[REPO] == first
    assert run(file, "--repo", REPO, "--overwrite").exit_code == 0
    assert head(server)["tiny.safetensors"] == file.read_bytes()


def test_a_card_that_someone_edited_is_kept(server: HubServer, file: Path) -> None:
    publish(file, REPO)
    server.commit(REPO, {**head(server), "README.md": b"mine", "notes.txt": b"kept"})
    with pytest.raises(StoreError, match=r"holds another README\.md"):
        publish(file, REPO)
    publish(file, REPO, overwrite=True)
    assert head(server)["notes.txt"] == b"kept"


def test_an_index_that_means_another_file_is_kept(server: HubServer, file: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    publish(file, REPO, index=index)
    before = index.read_text()
    write_tiny(file, seed=1)
    with pytest.raises(StoreError, match="knows another tiny: rename the file, or pass --overwrite"):
        publish(file, "someone/else", index=index)
    assert index.read_text() == before
    assert "someone/else" not in server.commits  # refused before anything was sent
    index.write_text("[]")
    with pytest.raises(StoreError, match="is no index of models"):
        publish(file, "someone/else", index=index)


def test_branch_and_private_repository(server: HubServer, file: Path) -> None:
    done = publish(file, REPO, revision="trial", private=True)
    assert REPO in server.private
    assert server.others[REPO, "trial"] == done.revision
    assert set(head(server)) == {".gitattributes"}
    assert torch.equal(hear_audioformer.from_pretrained(REPO, "trial").scene(AUDIO), embedding(file))


def test_private_is_not_promised_of_a_public_repository(server: HubServer, file: Path) -> None:
    server.commit(REPO, {})
    with pytest.raises(StoreError, match="is public: make it private in its settings first"):
        publish(file, REPO, private=True)


def test_no_token_and_a_token_that_may_not_write(
    server: HubServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    result = run(file, "--repo", REPO)
    assert result.exit_code == 2
    assert "the token may not write there" in result.output
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    result = run(file, "--repo", REPO)
    assert result.exit_code == 2
    [line] = result.output.splitlines()
    assert line.startswith(f"Error: the Hub asks who writes to {REPO}: run `hf auth login`, or set HF_TOKEN")
    assert REPO not in server.commits


def test_offline(server: HubServer, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StoreError, match="HF_HUB_OFFLINE is set: unset it to publish"):
        publish(file, REPO)


def test_dry_run_sends_nothing(server: HubServer, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    result = run(file, "--repo", REPO, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "library_name: hear_audioformer" in result.stdout
    assert "tiny.safetensors" in result.stderr
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--repo", "tiny"), "is not of the form OWNER/NAME"),
        (("--repo", "a/b/c"), "--repo a/b/c: "),
        (("--repo", REPO, "--licence", "mine"), "'mine' is not one that the Hub knows: choose from apache-2.0"),
        (("--repo", REPO, "--licence", "mit"), "the file says that its licence is CC0-1.0: leave --licence mit out"),
    ],
)
def test_what_is_refused_before_the_hub_is_asked(file: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(file, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_licence_must_be_known(tmp_path: Path) -> None:
    converted = write_tiny(tmp_path / "c.safetensors", header=replace(HEADER, licence="see the source"))
    with pytest.raises(StoreError, match="licence is 'see the source', which the Hub does not know: find out"):
        publish(converted, REPO)
    assert licences.identifier("see the source", "CC-BY-4.0") == "cc-by-4.0"
    assert licences.identifier("GPL-3.0-or-later") == "gpl-3.0"


def test_a_codec_is_no_model() -> None:
    with pytest.raises(WeightsError, match="holds a codec"):
        publish("melrvq-16k", REPO)


def test_metadata_is_what_the_hub_reads(file: Path, tmp_path: Path) -> None:
    """Read back by the Hub's own client."""
    result = run(file, "--repo", REPO, "--dataset", "agkphysics/AudioSet", "--base-model", "a/base", "--dry-run")
    data = ModelCard(result.stdout).data
    assert data.library_name == "hear_audioformer"
    assert data.license == "cc0-1.0"
    assert data.pipeline_tag == "feature-extraction"
    assert data.datasets == ["agkphysics/AudioSet"]
    assert data.base_model == "a/base"
    assert {"audio", "msm-mae"} <= set(data.tags)
    assert [(one.dataset_config, one.metric_value) for one in data.eval_results] == [("drum", 59.2), ("pitch", 71.2)]
    assert "A small model." in result.stdout
    assert f'from_pretrained("{REPO}")' in result.stdout
    bare = write_tiny(tmp_path / "bare.safetensors")
    data = ModelCard(run(bare, "--repo", REPO, "--dry-run").stdout).data
    assert (data.eval_results, data.datasets, data.base_model) == (None, None, None)


def test_scores_of_every_bundled_card_are_found() -> None:
    for path in sorted((ROOT / "weights").glob("*.md")):
        if (path.parent / f"{path.stem}.safetensors").is_file() and path.stem not in ("melrvq-16k", "melcodec-16k"):
            assert len(card.scores(path.read_text(), path.stem)) > 5, path


def test_torch_hub() -> None:
    """From a clone, in a process of its own: torch.hub changes the path."""
    code = f"""
import torch
model = torch.hub.load({str(ROOT)!r}, "load_model", "msm-mae-tiny", source="local", pool="mean")
print(model.scene(torch.zeros(1, 16000)).shape)
"""
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split("\n")[-2] == "torch.Size([1, 960])"
