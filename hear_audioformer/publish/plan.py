"""What a repository will hold, made on this machine alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import checkpoint, weights
from ..embedder import Embedder
from ..errors import StoreError
from . import card, licences, remote_code

Content = Path | bytes


@dataclass(frozen=True)
class Plan:
    """A repository to be.

    Attributes:
        name: of the model.
        files: their names in the repository, and their contents.
        entry: of the index, without repository and revision.
    """

    name: str
    files: dict[str, Content]
    entry: dict[str, Any]

    @property
    def card(self) -> str:
        content = self.files["README.md"]
        assert isinstance(content, bytes)
        return content.decode()

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: content.stat().st_size if isinstance(content, Path) else len(content)
            for name, content in self.files.items()
        }


def prepare(
    source: str | Path,
    repo: str,
    *,
    licence: str | None = None,
    datasets: Sequence[str] = (),
    base_model: str | None = None,
) -> Plan:
    """The files of a repository for a weight file, or for a model's name; the file is verified."""
    from huggingface_hub import errors
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except errors.HFValidationError as error:
        raise StoreError(f"--repo {repo}: {error}") from error
    if repo.count("/") != 1:
        raise StoreError(f"--repo {repo} is not of the form OWNER/NAME")
    path = weights.resolve(source)
    if path.suffix != ".safetensors":
        raise StoreError(f"{path}: the name must end in .safetensors, by which from_pretrained finds the file")
    encoder, header = weights.load_encoder(path)
    embedder = Embedder(encoder)
    written = path.with_suffix(".md")
    text = written.read_text(encoding="utf-8") if written.is_file() else None
    facts = card.Facts(
        name=path.stem,
        repo=repo,
        licence=licences.identifier(header.licence, licence),
        header=header,
        sample_rate=encoder.sample_rate,
        scene=embedder.scene_embedding_size,
        hop_ms=embedder.hop_ms,
        datasets=datasets,
        base_model=base_model,
        text=text,
    )
    files: dict[str, Content] = {
        path.name: path,
        "README.md": card.render(facts).encode(),
        "config.json": remote_code.config(path.name, header.method).encode(),
        remote_code.CODE: remote_code.MODULE.encode(),
        **{picture.name: picture for picture in card.pictures(text, path.parent)},
    }
    entry = {
        "method": header.method,
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": checkpoint.sha256(path),
    }
    return Plan(path.stem, files, entry)
