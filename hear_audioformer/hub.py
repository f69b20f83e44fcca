"""Reading from the Hugging Face Hub: which file of a repository is the model, and errors in one line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import WeightsError

WEIGHTS = ".safetensors"


def address_of(repo: str, revision: str | None = None) -> str:
    """The ``hf://`` address of a repository's only weight file; without the network, of the cached one.

    Args:
        revision: a commit, a branch or a tag; the main branch if None.
    """
    from huggingface_hub import HfApi, errors, snapshot_download

    revision = revision or "main"
    if repo.count("/") != 1 or "@" in repo:
        raise WeightsError(f"{repo!r} is not of the form OWNER/NAME; for one file, load_model takes hf:// addresses")
    with faults(f"hf://{repo}@{revision}"):
        try:
            info = HfApi().model_info(repo, revision=revision)
            files = [file.rfilename for file in info.siblings or ()]
        except errors.HfHubHTTPError:
            raise
        except (errors.OfflineModeIsEnabled, errors.HTTPError, OSError):
            folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
            files = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return f"hf://{repo}@{revision}/{_only(files, repo)}"


def _only(files: Sequence[str], repo: str) -> str:
    found = sorted(file for file in files if file.endswith(WEIGHTS))
    if len(found) != 1:
        names = f"several: {', '.join(found[:8])}; name one: load_model('hf://{repo}/{found[0]}')" if found else "none"
        raise WeightsError(f"{repo} must hold one {WEIGHTS} file, and holds {names}")
    return found[0]


@contextmanager
def faults(address: str) -> Iterator[None]:
    """Turns what the Hub's client raises into a ``WeightsError`` that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(f"{address}: no such repository, or it is private: check the name, or log in") from error
    except errors.RevisionNotFoundError as error:
        revision = address.partition("@")[2].partition("/")[0]
        raise WeightsError(f"{address}: the repository has no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{address} is not in the cache and the Hub was not asked or did not answer: "
            "go online (and unset HF_HUB_OFFLINE) once, or pass a local file"
        ) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(f"{address}: the repository has no such file") from error
    except errors.HfHubHTTPError as error:
        raise WeightsError(f"{address}: the Hub answered with an error: {error}") from error
    except (errors.HTTPError, OSError) as error:  # HTTPError: that of the HTTP library, above the Hub's own
        raise WeightsError(f"{address}: the download failed, try again: {error}") from error
    except ValueError as error:
        raise WeightsError(f"{address} is no valid address: {error}") from error
