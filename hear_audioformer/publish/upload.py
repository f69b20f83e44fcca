"""Files -> one commit on the Hub, by its own client. What is there already is kept unless the user says otherwise."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checkpoint
from ..errors import StoreError
from .plan import Content

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOG_IN = "run `hf auth login`, or set HF_TOKEN to a token that may write (https://huggingface.co/settings/tokens)"


def send(files: Mapping[str, Content], repo: str, *, message: str, private: bool, branch: str, overwrite: bool) -> str:
    """Creates the repository if it is not there, and returns the sha of the commit that holds the files."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    token = get_token()
    if not token:
        raise StoreError(f"the Hub asks who writes to {repo}: {LOG_IN}")
    api = HfApi(token=token)
    with _faults(repo):
        parent = _head(api, repo, branch, private)
        if parent is not None and not overwrite:
            _refuse_changes(api, files, repo, parent)
        if parent is None:
            api.create_repo(repo, private=private, exist_ok=True)
            if branch != "main":
                api.create_branch(repo, branch=branch, exist_ok=True)
        operations = [
            CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in files.items()
        ]
        # With a parent, a commit that someone else made meanwhile is not overwritten.
        commit = api.create_commit(
            repo, operations, commit_message=message, revision=branch, parent_commit=parent, num_threads=1
        )
        return str(commit.oid)


def _head(api: "HfApi", repo: str, branch: str, private: bool) -> str | None:
    """The commit that a branch is at; None if the repository or the branch is yet to be made."""
    from huggingface_hub import errors

    try:
        info = api.model_info(repo)
    except errors.RepositoryNotFoundError:
        return None
    if private and not info.private:
        raise StoreError(f"{repo} is public: make it private in its settings first, or leave --private out")
    if branch == "main":
        return info.sha
    try:
        return api.model_info(repo, revision=branch).sha
    except errors.RevisionNotFoundError:
        return None


def _refuse_changes(api: "HfApi", files: Mapping[str, Content], repo: str, revision: str) -> None:
    """Refuses to replace a file by another content."""
    there: list[Any] = api.get_paths_info(repo, list(files), revision=revision)
    changed = sorted(file.path for file in there if not _same(file, files[file.path]))
    if changed:
        raise StoreError(f"{repo} holds another {', '.join(changed)}: pass --overwrite to replace, or another --repo")


def _same(file: Any, content: Content) -> bool:
    """Whether a file of the Hub has a content: by sha256 for large files, else by git's hash."""
    if file.lfs is not None:
        ours = checkpoint.sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        return bool(file.lfs.sha256 == ours)
    data = content.read_bytes() if isinstance(content, Path) else content
    return bool(file.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest())


@contextmanager
def _faults(repo: str) -> Iterator[None]:
    """Turns what the Hub's client raises into one line."""
    from huggingface_hub import errors

    try:
        yield
    except StoreError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise StoreError(f"{repo}: HF_HUB_OFFLINE is set: unset it to publish") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        said = (str(error.server_message or "") or str(error)).strip().partition("\n")[0]
        if status in (401, 403):
            raise StoreError(f"{repo}: the token may not write there ({said}): {LOG_IN}") from error
        if status in (409, 412):
            raise StoreError(f"{repo} has changed meanwhile ({said}): look at it, then try again") from error
        raise StoreError(f"{repo}: the Hub answered with status {status}: {said}") from error
    except (errors.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: of the client's upload threads and Xet
        raise StoreError(f"{repo}: the upload failed, try again: {error}") from error
