"""The table of the tasks, and the function that writes one to disk."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...tasks.write import Clip, TaskMetadata, write
from . import count, drum, lang, notes, sfx, speaker, style, tones, voices, word
from .material import Material

Score = Literal["accuracy", "mean_recall", "pitch"]
EVALUATION = {"accuracy": ("top1_acc",), "mean_recall": ("top1_acc",), "pitch": ("pitch_acc", "chroma_acc")}


@dataclass(frozen=True)
class TaskRecipe:
    """A task's generator and score; ``seconds`` is the duration of every clip, or None if it varies."""

    target: str
    unseen: str  # property of test clips that training never has
    clips: Callable[[Material], Iterable[Clip]]
    score: Score
    seconds: float | None = None
    needs: tuple[str, ...] = ()


SUITE = {
    "dev_word_a": TaskRecipe("short word", "voice", word.clips(0), "accuracy", None, voices.PROGRAMS),
    "dev_word_b": TaskRecipe("short word", "voice", word.clips(4), "accuracy", None, voices.PROGRAMS),
    "dev_lang": TaskRecipe("language of a phrase", "voice and words", lang.clips, "mean_recall", None, ("espeak-ng",)),
    "dev_speaker": TaskRecipe("speaker", "words", speaker.clips, "accuracy"),
    "dev_pitch": TaskRecipe("note", "instrument or bank", tones.pitch, "pitch", tones.SECONDS, notes.PROGRAMS),
    "dev_family": TaskRecipe(
        "instrument family", "instrument or bank", tones.family, "mean_recall", tones.SECONDS, notes.PROGRAMS
    ),
    "dev_drum": TaskRecipe("drum stroke", "kit", drum.clips, "mean_recall", None, notes.PROGRAMS),
    "dev_sfx_ab": TaskRecipe("kind of sound effect", "package", sfx.clips(sfx.A, sfx.B), "mean_recall"),
    "dev_sfx_ba": TaskRecipe("kind of sound effect", "package", sfx.clips(sfx.B, sfx.A), "mean_recall"),
    "dev_style": TaskRecipe("whose music", "track", style.clips, "accuracy", style.SECONDS),
    "dev_count": TaskRecipe("how many speak at once", "speaker", count.clips, "accuracy", count.SECONDS),
}


@dataclass(frozen=True)
class TaskSummary:
    """A written task: its classes, and its clips by split."""

    task: TaskMetadata
    classes: int
    sizes: dict[str, int]

    def row(self) -> str:
        """The row of a table in Markdown."""
        recipe, folds = SUITE[self.task.name], self.task.split_mode == "presplit_kfold"
        split = f"{len(self.sizes)} folds" if folds else " / ".join(map(str, self.sizes.values()))
        clips = sum(self.sizes.values())
        cells = (self.task.name, recipe.target, self.classes, clips, split, recipe.unseen, recipe.score)
        return f"| {' | '.join(map(str, cells))} | {100 / self.classes:.1f} |"


HEADER = """\
| task | what is told | classes | clips | split | new in the test | score | chance, % |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def make(name: str, material: Material, out: Path) -> TaskSummary:
    """Writes a task. Its splits, classes and chance score follow from its clips."""
    recipe = SUITE[name]
    with tempfile.TemporaryDirectory() as folder:
        clips = list(recipe.clips(replace(material, work=Path(folder))))
    splits = _splits({clip.split for clip in clips})
    classes = {str(label) for clip in clips for label in clip.labels}
    sizes = {split: sum(clip.split == split for clip in clips) for split in splits}
    if len(classes) < 2 or not all(sizes.values()):
        raise ValueError(f"{name}: the corpus holds too little for it; it needs the open one, whole")
    task = TaskMetadata(
        name=name,
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="presplit_kfold" if splits[0].startswith("fold") else "trainvaltest",
        splits=splits,
        sample_duration=recipe.seconds,
        evaluation=EVALUATION[recipe.score],
        extra={"open_suite": {"score": recipe.score, "chance": 1 / len(classes)}},
    )
    write(out / "tasks", task, clips)
    return TaskSummary(task, len(classes), sizes)


def _splits(names: set[str]) -> tuple[str, ...]:
    """The splits in HEAR's order."""
    return tuple(sorted(names)) if any(name.startswith("fold") for name in names) else ("train", "valid", "test")
