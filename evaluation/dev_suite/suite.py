"""The tasks in one table, and the way from clips to a task on disk."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evaluation.hear_format import Clip, Task, write
from training.data import programs

from . import count, drum, lang, notes, sfx, speaker, style, tones, voices, word
from .material import Material

Score = Literal["accuracy", "mean_recall", "pitch"]
EVALUATION = {"accuracy": ("top1_acc",), "mean_recall": ("top1_acc",), "pitch": ("pitch_acc", "chroma_acc")}


@dataclass(frozen=True)
class Entry:
    """How a task is made and scored; ``seconds`` is every clip's duration, None where each has its own."""

    what: str
    clips: Callable[[Material], Iterable[Clip]]
    score: Score
    seconds: float | None = None
    needs: tuple[str, ...] = ()


SUITE = {
    "dev_word": Entry("short words, new voices", word.clips, "accuracy", None, voices.PROGRAMS),
    "dev_lang": Entry("language of a phrase, new voices and words", lang.clips, "mean_recall", None, ("espeak-ng",)),
    "dev_speaker": Entry("speaker, other words", speaker.clips, "accuracy"),
    "dev_pitch": Entry("MIDI note, new programs", tones.pitch, "pitch", tones.SECONDS, notes.PROGRAMS),
    "dev_family": Entry("instrument family, new programs", tones.family, "mean_recall", tones.SECONDS, notes.PROGRAMS),
    "dev_drum": Entry("drum stroke, new kits", drum.clips, "mean_recall", None, notes.PROGRAMS),
    "dev_sfx_ab": Entry("class of a sound effect, new packages", sfx.clips(sfx.A, sfx.B), "mean_recall"),
    "dev_sfx_ba": Entry("the same, the other way round", sfx.clips(sfx.B, sfx.A), "mean_recall"),
    "dev_style": Entry("whose music, new tracks", style.clips, "accuracy", style.SECONDS),
    "dev_count": Entry("how many speak at once, new speakers", count.clips, "accuracy", count.SECONDS),
}


@dataclass(frozen=True)
class Made:
    """What a task came to be."""

    name: str
    classes: int
    clips: dict[str, int]
    chance: float


def make(name: str, material: Material, out: Path) -> Made:
    """Writes a task; its splits, classes and chance are those of its clips."""
    entry = SUITE[name]
    programs.need(entry.needs)
    with tempfile.TemporaryDirectory() as folder:
        made = list(entry.clips(replace(material, work=Path(folder))))
    splits = _splits([clip.split for clip in made])
    classes = {str(label) for clip in made for label in clip.labels}
    if len(classes) < 2:
        raise ValueError(f"{name}: the corpus holds nothing of it; is it the whole open one?")
    sizes = {split: sum(clip.split == split for clip in made) for split in splits}
    task = Task(
        name=name,
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="presplit_kfold" if splits[0].startswith("fold") else "trainvaltest",
        splits=splits,
        sample_duration=entry.seconds,
        evaluation=EVALUATION[entry.score],
        extra={"open_suite": {"score": entry.score, "chance": 1 / len(classes)}},
    )
    write(out / "tasks", task, made)
    return Made(name, len(classes), sizes, 1 / len(classes))


def _splits(names: Sequence[str]) -> tuple[str, ...]:
    if any(name.startswith("fold") for name in names):
        return tuple(sorted(set(names)))
    return ("train", "valid", "test")
