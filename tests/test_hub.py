"""Weights from the Hugging Face Hub: the real client against a server on this machine, in fair weather and foul."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, file_download, utils

from hear_audioformer import checkpoint, weights
from hear_audioformer.checkpoint import WeightsError
from tests.bundles import use_bundle
from tests.hub_server import HubServer, serving
from tests.test_weights import embedding, entry_of, flip, write_index, write_tiny

close_session = getattr(huggingface_hub, "close_session", None) or utils.reset_sessions  # before 1.0
of_client_1 = pytest.mark.skipif(
    int(huggingface_hub.__version__.split(".")[0]) < 1,
    reason="the Hub's client before 1.0 retries and goes offline otherwise",
)
REPO, FILE = "someone/models", "model.safetensors"
SCRIPT = """
import json, sys, torch
from hear_audioformer import WeightsError, load_model

def answer(source):
    try:
        return load_model(source).scene(torch.sin(torch.arange(12000) / 9)[None])[0].tolist()
    except WeightsError as error:
        return str(error)

json.dump([answer(source) for source in sys.argv[1:]], sys.stdout)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A server that the client, which reads its environment when it is imported, takes for the Hub; without waits."""
    with serving() as server:
        template = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        for module in (constants, file_download):  # the latter before 1.0
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for switch in ("TELEMETRY", "IMPLICIT_TOKEN", "PROGRESS_BARS"):
            monkeypatch.setattr(constants, f"HF_HUB_DISABLE_{switch}", True)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        close_session()  # the next one knows about NO_PROXY
        yield server
    close_session()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "local" / FILE)


@pytest.fixture
def revision(hub: HubServer, local: Path) -> str:
    """The commit that has the local file, as a large file and as a small one."""
    content = local.read_bytes()
    return hub.commit(REPO, {FILE: content, "small/model.weights": content})


@pytest.fixture
def address(revision: str) -> str:
    return f"hf://{REPO}@{revision}/{FILE}"


def files(cache: Path) -> list[str]:
    """What the cache holds of the repository's contents."""
    return sorted(
        path.name for path in cache.glob("models--*/*/**/*") if "refs" not in path.parts and not path.is_dir()
    )


@pytest.mark.parametrize("file", [FILE, "small/model.weights"])
def test_download_embeds_as_the_local_file(hub: HubServer, revision: str, local: Path, file: str) -> None:
    assert torch.equal(embedding(f"hf://{REPO}@{revision}/{file}"), embedding(local))
    assert [request.method for request in hub.requests] == ["HEAD", "GET"]
    assert hub.requests[1].path.startswith("/cdn/") == (file == FILE)


def test_no_revision_means_main(hub: HubServer, revision: str, local: Path, tmp_path: Path) -> None:
    """A branch moves on, so this is the one address that has to ask each time."""
    source = f"hf://{REPO}/{FILE}"
    assert torch.equal(embedding(source), embedding(local))
    newer = write_tiny(tmp_path / "newer.safetensors", seed=1)
    hub.commit(REPO, {FILE: newer.read_bytes()})
    assert torch.equal(embedding(source), embedding(newer))
    assert not torch.equal(embedding(newer), embedding(local))


def test_each_revision_gives_its_own_weights(hub: HubServer, address: str, local: Path, tmp_path: Path) -> None:
    newer = write_tiny(tmp_path / "newer.safetensors", seed=1)
    second = f"hf://{REPO}@{hub.commit(REPO, {FILE: newer.read_bytes()})}/{FILE}"
    for _ in range(2):
        assert torch.equal(embedding(address), embedding(local))
        assert torch.equal(embedding(second), embedding(newer))
    assert not torch.equal(embedding(newer), embedding(local))


def test_cached_revision_needs_no_request(hub: HubServer, address: str, local: Path) -> None:
    weights.load_model(address)
    hub.requests.clear()
    assert torch.equal(embedding(address), embedding(local))
    assert hub.requests == []


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose index names files that are not in it."""
    folder = tmp_path / "bundle"
    use_bundle(monkeypatch, folder)
    return folder


def test_name_in_the_index_leads_to_the_hub(hub: HubServer, revision: str, local: Path, bundle: Path) -> None:
    write_index(bundle, "mine", mine=entry_of(local, repo=REPO, revision=revision))
    for source in ("mine", ""):
        assert torch.equal(embedding(source), embedding(local))
    assert len(hub.requests) == 2


@pytest.mark.usefixtures("hub")
def test_other_hash_in_the_index_is_refused(revision: str, local: Path, bundle: Path, cache: Path) -> None:
    write_index(bundle, mine=entry_of(local, repo=REPO, revision=revision, sha256="0" * 64))
    with pytest.raises(WeightsError, match=f"hash {checkpoint.sha256(local)}, expected 0{{64}}; .* try again"):
        weights.load_model("mine")
    assert files(cache) == []


@pytest.mark.parametrize("file", [FILE, "small/model.weights"])
def test_corrupted_download_is_refused_removed_and_tried_again(
    hub: HubServer, revision: str, local: Path, cache: Path, file: str
) -> None:
    source = f"hf://{REPO}@{revision}/{file}"
    hub.corrupt = True
    with pytest.raises(WeightsError, match=r"is damaged: hash .* it is removed from the cache: try again"):
        weights.load_model(source)
    assert files(cache) == []
    hub.corrupt = False
    assert torch.equal(embedding(source), embedding(local))


@pytest.mark.usefixtures("hub")
def test_damage_in_the_cache_is_refused_removed_and_mended(address: str, local: Path) -> None:
    flip(weights.resolve(address), -1)
    with pytest.raises(WeightsError, match="is damaged"):
        weights.load_model(address)
    assert torch.equal(embedding(address), embedding(local))


@pytest.fixture
def shared(address: str, cache: Path) -> Path:
    """The cached file as huggingface_hub keeps Xet downloads: two links away, under a name that is not its sha256."""
    blob = weights.resolve(address).resolve()
    store = cache / "blobs" / "ab" / ("ab" * 32)
    store.parent.mkdir(parents=True)
    blob.rename(store)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    return store


def test_shared_store_is_understood(hub: HubServer, shared: Path, address: str, local: Path) -> None:
    hub.requests.clear()
    assert weights.resolve(address).resolve() == shared
    assert torch.equal(embedding(address), embedding(local))
    assert hub.requests == []


def test_damage_in_the_shared_store_is_mended(shared: Path, address: str, local: Path) -> None:
    flip(shared, -1)
    with pytest.raises(WeightsError, match="is damaged"):
        weights.load_model(address)
    assert not shared.exists()
    assert torch.equal(embedding(address), embedding(local))


@of_client_1
def test_cache_without_links(address: str, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There no name is a hash, and the header's own has to do."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    path = weights.resolve(address)
    assert not path.is_symlink()
    assert torch.equal(embedding(address), embedding(local))
    flip(path, -1)
    with pytest.raises(WeightsError, match="is damaged: its content"):
        weights.load_model(address)


@of_client_1
def test_interrupted_download_is_resumed(
    hub: HubServer, address: str, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.interruptions = 1
    assert torch.equal(embedding(address), embedding(local))
    half = local.stat().st_size // 2
    assert hub.ranges == [f"bytes={half // 1024 * 1024}-"]


@of_client_1
def test_connection_that_keeps_breaking(hub: HubServer, address: str, local: Path, cache: Path) -> None:
    hub.interruptions = 1000
    with pytest.raises(WeightsError, match=f"{address}: the download failed, try again: .*closed connection"):
        weights.load_model(address)
    assert files(cache) == []
    hub.interruptions = 0
    assert torch.equal(embedding(address), embedding(local))


def test_cdn_that_refuses(hub: HubServer, address: str) -> None:
    hub.failure = HTTPStatus.FORBIDDEN
    with pytest.raises(WeightsError, match=f"{address}: the Hub answered with an error: .*403 Forbidden"):
        weights.load_model(address)


def test_full_disk(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)
    with pytest.raises(WeightsError, match=r"the download failed, try again: .*No space left"):
        weights.load_model(address)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"hf://nobody/models@main/{FILE}", "no such repository, or it is private"),
        (f"hf://{REPO}@{'0' * 40}/{FILE}", f"the repository has no revision '{'0' * 40}'"),
        (f"hf://{REPO}@v7/{FILE}", "the repository has no revision 'v7'"),
        (f"hf://{REPO}@main/other.safetensors", "the repository has no such file"),
        (f"hf://no..body/models@main/{FILE}", "is no valid address: .*no..body"),
        (f"hf://models/{FILE}", "is not of the form hf://OWNER/REPO@REVISION/FILE"),
        (f"hf://{REPO}", "is not of the form hf://OWNER/REPO@REVISION/FILE"),
    ],
)
@pytest.mark.usefixtures("revision")
def test_whatever_is_missing_is_named(source: str, message: str) -> None:
    with pytest.raises(WeightsError, match=f"^{source}:? {message}"):
        weights.load_model(source)


@of_client_1
def test_offline_with_cache(hub: HubServer, address: str, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    branch = f"hf://{REPO}@main/{FILE}"
    for source in (address, branch):
        weights.load_model(source)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for source in (address, branch):
        assert torch.equal(embedding(source), embedding(local))
    assert hub.requests == []


def test_offline_without_cache(hub: HubServer, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=f"{address} is not in the cache and the Hub was not asked.*HF_HUB_OFFLINE"):
        weights.load_model(address)
    assert hub.requests == []


def test_server_down(hub: HubServer, address: str, local: Path) -> None:
    """What is cached still loads, a branch as it was last seen; what is not fails as a WeightsError."""
    branch = f"hf://{REPO}@main/{FILE}"
    weights.load_model(branch)
    hub.shutdown()
    hub.server_close()
    assert torch.equal(embedding(branch), embedding(local))
    other = address.replace(FILE, "small/model.weights")
    with pytest.raises(WeightsError, match=f"{other} is not in the cache and the Hub .* did not answer: go online"):
        weights.load_model(other)


def test_users_environment_takes_effect(tmp_path: Path, local: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are what a user has; only a new process reads them."""
    with serving() as hub:
        content = local.read_bytes()
        revision = hub.commit(REPO, {FILE: content, "other.safetensors": content})
        cached, other = f"hf://{REPO}@{revision}/{FILE}", f"hf://{REPO}@{revision}/other.safetensors"
        shell = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        online = run({**shell, **quiet}, cached)
        assert len(hub.requests) == 2
        offline = run({**shell, **quiet, "HF_HUB_OFFLINE": "1"}, cached, other)
        assert len(hub.requests) == 2
    torch.testing.assert_close(torch.tensor(online), embedding(local))
    assert offline[0] == online[0]
    assert offline[1].startswith(f"{other} is not in the cache and the Hub was not asked")
    assert files(tmp_path / "home" / "hub") == [checkpoint.sha256(local), FILE]


def run(environment: dict[str, str], *sources: str) -> list[Any]:
    """The embeddings of sources, or what was said about them, in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
    path = os.pathsep.join(filter(None, [str(Path(weights.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", SCRIPT, *sources]
    done = subprocess.run(
        command, env={**inherited, "PYTHONPATH": path, **environment}, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)
