"""The model card, README.md of a repository: metadata that the Hub reads, then how to use the model and what it is.

A card of the package (``weights/NAME.md``) beside the weight file becomes the text. Its table of scores also becomes
the ``model-index``, which the Hub shows beside the card.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import Header

SCORE = re.compile(r"(\d+(?:\.\d+)?) \(.+\)")  # "87.3 (80.1 to 94.5)"
PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.-]+)\)")  # a file beside the card
SUMMARIES = ("mean", "tasks won")  # rows of a table of scores that are no task
USE = """## How to use

Install the Python package `hear_audioformer`. Then:

```python
import hear_audioformer

model = hear_audioformer.from_pretrained("{repo}")
vector = hear_audioformer.embed("recording.flac", model)  # ({scene},)
scenes = hear_audioformer.get_scene_embeddings(audio, model)  # audio: (n_sounds, n_samples), {rate} Hz
frames, ms = hear_audioformer.get_timestamp_embeddings(audio, model)  # one every {hop:g} ms
```

With transformers, which then runs this repository's `modeling_hear_audioformer.py`; that imports the package:

```python
from transformers import AutoModel

model = AutoModel.from_pretrained("{repo}", trust_remote_code=True)
vectors = model(audio).pooler_output
```"""


@dataclass(frozen=True)
class Facts:
    """What a card tells of a model.

    Attributes:
        name: of the model: the weight file's, without its ending.
        repo: OWNER/NAME.
        licence: the Hub's identifier.
        header: of the weight file.
        sample_rate: Hz.
        scene, hop_ms: width of a scene embedding, and the step between timestamps.
        datasets, base_model: identifiers on the Hub.
        text: the package's own card, if there is one.
    """

    name: str
    repo: str
    licence: str
    header: Header
    sample_rate: int
    scene: int
    hop_ms: float
    datasets: Sequence[str] = ()
    base_model: str | None = None
    text: str | None = None


def render(facts: Facts) -> str:
    """The card as Markdown with its YAML block."""
    use = USE.format(repo=facts.repo, scene=facts.scene, rate=facts.sample_rate, hop=facts.hop_ms)
    title, rest = _split(facts.text) if facts.text else (f"# {facts.name}", _described(facts.header))
    first, _, others = rest.partition("\n\n")
    return "\n\n".join(part for part in (f"---\n{_metadata(facts)}\n---", title, first, use, others) if part) + "\n"


def pictures(text: str | None, folder: Path) -> list[Path]:
    """The pictures that a card shows and that lie beside it."""
    named = dict.fromkeys(PICTURE.findall(text or ""))
    return [folder / name for name in named if (folder / name).is_file()]


def scores(text: str | None, name: str) -> dict[str, float]:
    """Scores in per cent by task, of the card's table whose first column of scores is the model's own."""
    found: dict[str, float] = {}
    inside = False
    for line in (text or "").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) < 2:
            inside = False
        elif cells[:2] == ["task", name]:
            inside = True
        elif inside and cells[0] not in SUMMARIES and (score := SCORE.fullmatch(cells[1])):
            found[cells[0]] = float(score[1])
    return found


def _metadata(facts: Facts) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="feature-extraction",
            task_name="a linear head on frozen embeddings",
            dataset_type="hear_audioformer-open-suite",
            dataset_name=f"open suite: {task}",
            dataset_config=task,  # results of one configuration are one entry
            metric_type="score",
            metric_name="score, per cent",
            metric_value=value,
        )
        for task, value in scores(facts.text, facts.name).items()
    ]
    data = ModelCardData(
        library_name="hear_audioformer",
        license=facts.licence,
        pipeline_tag="feature-extraction",
        tags=["audio", "audio-embeddings", "hear", facts.header.method],
        datasets=list(facts.datasets) or None,
        base_model=facts.base_model,
        metrics=["score"] if results else None,
        model_name=facts.name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _split(text: str) -> tuple[str, str]:
    """Title and the rest of a card."""
    title, _, rest = text.strip().partition("\n\n")
    return title, rest


def _described(header: Header) -> str:
    """The text of a model that has no card of its own: what its header says."""
    config = ", ".join(f"{name} {value}" for name, value in header.config.items() if value is not None)
    origin = "\n".join(f"- {name}: {value}" for name, value in header.provenance.items() if value) or "- not stated"
    return (
        f"An audio embedding model of the method {header.method}.\n\n## Configuration\n\n{config}\n\n"
        f"## Origin\n\n{origin}\n\n- licence: {header.licence}"
    )
