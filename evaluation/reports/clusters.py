"""Measures how well frozen embeddings cluster by a task's classes, and plots them.

    python -m evaluation.reports.clusters data/open-suite/tasks clusters.md --task family --task sfx_ab \\
        --model mast=hear_audioformer.mast:mast-tiny --model log-mel=evaluation.baselines.logmel

The report standardises the embeddings of a task's test clips. It computes silhouette (cosine), Davies-Bouldin and
Calinski-Harabasz of the true classes, and compares these with the clusters of k-means (NMI, ARI, purity), which gets
only their number. Each seed starts k-means and draws four fifths of the clips. The plot is t-SNE of all clips.
"""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..scoring import embeddings
from ..scoring.embeddings import Model
from ..tasks import tasks

SEEDS = 5
RESTARTS = 10  # of k-means; the one with the lowest inertia counts
COMPONENTS = 50  # for t-SNE and the second silhouette
PERPLEXITY = 30
NEEDED = 5  # clips of a class at least, so that every draw has some

Pair = tuple[np.ndarray, np.ndarray]  # vectors (clips, dim), classes (clips,)
COLUMNS = {  # measure -> whether more is better
    "silhouette": True,
    f"silhouette of {COMPONENTS} components": True,
    "Davies-Bouldin": False,
    "Calinski-Harabasz": True,
    "NMI": True,
    "ARI": True,
    "purity": True,
}


@dataclass(frozen=True)
class LabelledEmbeddings:
    """A model's embeddings of a task's test clips, and their classes."""

    vectors: np.ndarray
    classes: np.ndarray


def embed(task: tasks.Task, model: Model, cache: Path) -> LabelledEmbeddings:
    """Standardised embeddings of all test clips, of classes with at least ``NEEDED`` clips."""
    tested = {fold.test for fold in task.folds}
    chosen = [index for index, item in enumerate(task.items) if item.split in tested]
    classes = np.array([task.items[index].labels[0] for index in chosen])
    numbers, counts = np.unique(classes, return_counts=True)
    kept = np.isin(classes, numbers[counts >= NEEDED])
    vectors = embeddings.scenes(task, model, cache)[chosen][kept].astype(np.float64)
    deviation = vectors.std(0)
    return LabelledEmbeddings((vectors - vectors.mean(0)) / np.where(deviation > 0, deviation, 1), classes[kept])


def measure(embedded: LabelledEmbeddings, seed: int) -> list[float]:
    """The measures of ``COLUMNS`` for one draw of the clips."""
    from sklearn import cluster, metrics

    vectors, classes = _draw(embedded, seed)
    clusters = cluster.KMeans(len(np.unique(classes)), n_init=RESTARTS, random_state=seed).fit_predict(vectors)
    few = components(vectors, seed)
    return [
        float(metrics.silhouette_score(vectors, classes, metric="cosine")),
        float(metrics.silhouette_score(few, classes, metric="cosine")),
        float(metrics.davies_bouldin_score(vectors, classes)),
        float(metrics.calinski_harabasz_score(vectors, classes)),
        float(metrics.normalized_mutual_info_score(classes, clusters)),
        float(metrics.adjusted_rand_score(classes, clusters)),
        purity(classes, clusters),
    ]


def purity(classes: np.ndarray, clusters: np.ndarray) -> float:
    """The share of clips that belong to the most frequent class of their cluster."""
    return float(
        sum(np.unique(classes[clusters == group], return_counts=True)[1].max() for group in np.unique(clusters))
    ) / len(classes)


def components(vectors: np.ndarray, seed: int) -> np.ndarray:
    """The first principal components."""
    from sklearn import decomposition

    count = min(COMPONENTS, *vectors.shape)
    return np.asarray(decomposition.PCA(count, random_state=seed).fit_transform(vectors))


def _draw(embedded: LabelledEmbeddings, seed: int) -> Pair:
    """Four fifths of the clips of every class."""
    generator = np.random.default_rng(seed)
    by_class = [np.flatnonzero(embedded.classes == number) for number in np.unique(embedded.classes)]
    chosen = np.concatenate([generator.permutation(members)[: -(-4 * len(members) // 5)] for members in by_class])
    return embedded.vectors[chosen], embedded.classes[chosen]


def table(title: str, rows: Mapping[str, Sequence[Sequence[float]]]) -> list[str]:
    """Markdown table of one task from name -> measures of each seed. The best mean of a column is bold."""
    means = {name: np.mean(values, axis=0) for name, values in rows.items()}
    spread = {name: np.std(values, axis=0, ddof=1) for name, values in rows.items()}
    best = [
        (max if more else min)(means, key=lambda name, at=at: means[name][at])  # type: ignore[misc]
        for at, more in enumerate(COLUMNS.values())
    ]
    heads = [f"{name} ({'more' if more else 'less'} is better)" for name, more in COLUMNS.items()]
    lines = [f"## {title}", "", f"| embedding | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name in rows:
        cells = [
            _bold(f"{mean:.3g} ± {deviation:.1g}", best[at] == name)
            for at, (mean, deviation) in enumerate(zip(means[name], spread[name], strict=True))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def draw(
    path: Path, pictures: Mapping[str, Mapping[str, LabelledEmbeddings]], names: Mapping[str, Sequence[str]]
) -> None:
    """t-SNE of every task (a row) by every model (a column), coloured by class."""
    from matplotlib.figure import Figure
    from sklearn import manifold

    columns = max(len(models) for models in pictures.values())
    size = (2.6 * columns + 1.8, 2.8 * len(pictures) + 0.4)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for axes, (task, models) in zip(grid, pictures.items(), strict=True):
        for axis, (model, embedded) in zip(axes, models.items(), strict=True):
            few = components(embedded.vectors, 0)
            perplexity = min(PERPLEXITY, (len(few) - 1) / 3)
            points = manifold.TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(few)
            for order, number in enumerate(np.unique(embedded.classes)):
                cluster = points[embedded.classes == number]
                axis.scatter(*cluster.T, s=5, color=_colour(order), label=names[task][number], linewidths=0)
            axis.set_title(f"{task}: {model}", fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, markerscale=2, frameon=False)
    figure.savefig(path)


def _colour(order: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab20"](order % 20)


def study(
    folder: Path, names: Sequence[str], models: Mapping[str, Callable[[], Model]], cache: Path
) -> tuple[list[str], dict[str, dict[str, LabelledEmbeddings]], dict[str, Sequence[str]]]:
    """The tables of all tasks, and the input of the plot: embeddings by task and model, classes by task."""
    lines: list[str] = []
    loaded = {name: load() for name, load in models.items()}
    chosen = tasks.find(folder, tuple(names))
    pictures: dict[str, dict[str, LabelledEmbeddings]] = {task.name: {} for task in chosen}
    for task in chosen:
        if task.is_event or task.multilabel:
            raise click.UsageError(f"{task.name} has clips of several labels; clusters need one label a clip")
        rows = {}
        for name, model in loaded.items():
            click.echo(f"{task.name}: {name}", err=True)
            embedded = pictures[task.name][name] = embed(task, model, cache)
            rows[name] = [measure(embedded, seed) for seed in range(SEEDS)]
        classes = len(np.unique(embedded.classes))
        lines += table(f"{task.name}: {len(embedded.classes)} clips of {classes} classes", rows)
    return lines, pictures, {task.name: task.vocabulary for task in chosen}


def _model(text: str) -> tuple[str, Callable[[], Model]]:
    """NAME=MODULE or NAME=MODULE:SOURCE."""
    name, _, address = text.partition("=")
    module, _, source = address.partition(":")
    if not name or not module:
        raise click.BadParameter(f"{text}: write NAME=MODULE or NAME=MODULE:SOURCE", param_hint="--model")
    return name, lambda: Model(module, source)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("page", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--task", "names", multiple=True, required=True, help="A task of FOLDER; repeat for more.")
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="NAME=MODULE[:SOURCE]",
    help="A HEAR module, and what its load_model takes; repeat for more.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Keeps the embeddings."
)
def main(folder: Path, page: Path, names: Sequence[str], models: Sequence[str], out: Path) -> None:
    """Measures how frozen embeddings cluster, and writes PAGE (.md) and a picture beside it.

    FOLDER holds tasks in HEAR's format; their test clips are embedded, or taken from OUT/embeddings where
    evaluation.probe has left them. Needs the extra [cluster].

    \b
    Example:
      python -m evaluation.reports.clusters data/open-suite/tasks clusters.md --task family --task sfx_ab \\
          --model mast=hear_audioformer.mast:mast-tiny --model log-mel=evaluation.baselines.logmel
    """
    try:
        lines, pictures, classes = study(folder, names, dict(map(_model, models)), out / "embeddings")
        draw(page.with_suffix(".png"), pictures, classes)
    except tasks.TaskError as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}; pip install 'hear_audioformer[cluster]'") from error
    head = [
        "# How embeddings cluster",
        "",
        f"Made by `python -m evaluation.reports.clusters {shlex.join(sys.argv[1:])}`. "
        "Embeddings of test clips, standardised; "
        f"mean and standard deviation over {SEEDS} seeds, each with k-means of its own and four fifths of the clips.",
        "",
    ]
    page.write_text("\n".join([*head, *lines, f"![t-SNE]({page.with_suffix('.png').name})", ""]))
    click.echo(page)


if __name__ == "__main__":
    main()
