"""Few-shot classification beside the full probe, and three ways to compare vectors, on tasks in HEAR's format.

    python -m evaluation.reports.fewshot --tasks DIR --only dev_drum,dev_lang

For each number of examples a class, and several draws from the training clips, it fits what ``hear-audioformer
classify`` fits, with the test clips of the first fold as the table. It shows the accuracy that cross-validation
promises, without the task's groups and with them kept whole, beside the accuracy on the test clips. ``full`` is that
of the probe, fitted and selected on all training and validation clips. The last line is the share of the test clips
whose nearest other test clip has their class, by cosine similarity of vectors as they are, centred, and standardised.
"""

from pathlib import Path

import click
import numpy as np
import torch

from hear_audioformer.classify import scaled
from hear_audioformer.head import chosen, cross_validated, folds_of
from hear_audioformer.standard import Standard

from ..scoring import embeddings, heads
from ..scoring.labels import many_hot
from ..tasks import tasks
from ..tasks.tasks import Task

HEADER = f"{'task':16} {'examples':>8} {'promised':>9} {'by groups':>10} {'on test':>15}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--tasks", "folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", default="", metavar="TASK,TASK", help="Only these tasks.")
@click.option("--module", default="hear_audioformer", show_default=True, help="Any HEAR module.")
@click.option("--model", default="", help="What its load_model takes.")
@click.option("--count", "counts", multiple=True, type=int, default=(5, 20, 100), show_default=True)
@click.option("--draws", default=5, show_default=True, help="Of examples.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
def main(folder: Path, only: str, module: str, model: str, counts: tuple[int, ...], draws: int, out: Path) -> None:
    """Accuracy from few examples a class beside that of the full probe."""
    loaded = embeddings.Model(module, model)
    click.echo(f"{loaded.name}\n{HEADER}")
    for task in tasks.find(folder, tuple(filter(None, only.split(",")))):
        if task.is_event or task.multilabel:
            click.echo(f"{task.name:16} left out: a clip has no single label")
            continue
        vectors = embeddings.scenes(task, loaded, out / "embeddings")
        own = np.array([item.labels[0] for item in task.items])
        for count in counts:
            _show(task, vectors, own, count, draws)
        click.echo(f"{task.name:16} {'full':>8} {'':20} {_full(task, vectors, own):9.3f}")
        cells = ", ".join(f"{name} {value:.3f}" for name, value in _nearest(task, vectors, own).items())
        click.echo(f"{task.name:16} nearest neighbour: {cells}")


def _split(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the clips of the first fold for training, validation and testing."""
    fold, splits = task.folds[0], np.array([item.split for item in task.items])
    return tuple(np.flatnonzero(np.isin(splits, names)) for names in (fold.train, fold.valid, fold.test))  # type: ignore[return-value]


def _show(task: Task, vectors: np.ndarray, own: np.ndarray, count: int, draws: int) -> None:
    train, valid, test = _split(task)
    pool, classes = np.concatenate([train, valid]), len(task.vocabulary)
    smallest = min(int((own[pool] == label).sum()) for label in range(classes))
    of_group = np.unique([item.group for item in task.items], return_inverse=True)[1]
    promised: list[float] = []
    grouped: list[float] = []  # empty where a class has one group
    reached: list[float] = []
    least = 0
    for seed in range(draws):
        mixed = np.random.default_rng(seed).permutation(pool)
        some = np.concatenate([mixed[own[mixed] == label][:count] for label in range(classes)])
        least = len(some)
        standard = Standard.of([vectors[test], vectors[some]])
        features = scaled(standard, vectors[some])
        for kept, groups in ((promised, np.arange(len(some))), (grouped, of_group[some])):
            if folds_of(own[some], groups, 2) is not None:
                predicted, _ = cross_validated(features, own[some], groups, classes)
                kept.append(float((predicted.argmax(1) == own[some]).mean()))
        head = chosen(features, own[some], np.arange(len(some)), classes)
        reached.append(float((head(scaled(standard, vectors[test])).argmax(1) == own[test]).mean()))
    note = "" if smallest >= count else f"  ({least} examples: some classes have {smallest})"
    by_groups = f"{np.mean(grouped):.3f}" if grouped else "-"
    spread = f"{np.mean(reached):9.3f} ± {np.std(reached):.3f}"
    click.echo(f"{task.name:16} {count:8} {np.mean(promised):9.3f} {by_groups:>10} {spread:>15}{note}")


def _full(task: Task, vectors: np.ndarray, own: np.ndarray) -> float:
    """Accuracy of the probe's head on the test clips."""
    features, targets = torch.from_numpy(vectors), many_hot([item.labels for item in task.items], len(task.vocabulary))
    train, valid, test = _split(task)

    def accuracy(predicted: np.ndarray) -> float:
        return float((predicted.argmax(1) == own[valid]).mean())

    head = heads.choose(
        (features[train], targets[train]), (features[valid], targets[valid]), "multiclass", accuracy, False
    ).head
    return float((head(features[test]).numpy().argmax(1) == own[test]).mean())


def _nearest(task: Task, vectors: np.ndarray, own: np.ndarray) -> dict[str, float]:
    """How often the nearest other test clip has the same class."""
    test = _split(task)[2]
    some = vectors[test]
    none = np.zeros(some.shape[1], np.float32)
    ones = none + 1
    standards = {
        "as they are": Standard(none, ones),
        "centred": Standard(some.mean(0), ones),
        "standardised": Standard.of([some]),
    }
    shares = {}
    for name, standard in standards.items():
        similar = (units := standard.unit(some)) @ units.T
        np.fill_diagonal(similar, -np.inf)
        shares[name] = float((own[test][similar.argmax(1)] == own[test]).mean())
    return shares


if __name__ == "__main__":
    main()
