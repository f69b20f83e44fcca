"""The command that makes a labelled set: labels for the clips of packed corpora, mixtures to validate by, a summary.

python -m training.data.make_labelled_set data/labelled --corpus data/open --corpus data/solos
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from corpora import catalogue, clips
from corpora.clips import RATE
from corpora.pack import Pack, PackError
from corpora.tags import group_of, split_of, tags_of

from .labelled_mixtures import fixed
from .labelled_set import SYNTHESIS, LabelledSet, Source
from .plain import NOTES, PLAIN

FEWEST_TRAIN, FEWEST_VALID = 5, 2  # clips that a class needs of either split


def sources_of(number: int, corpus: Path) -> Iterator[Source]:
    """The clips of a packed corpus that labels are known of."""
    pack = Pack.open(corpus)
    with open(corpus / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if [row["key"] for row in rows] != pack.keys:
        raise PackError(f"{corpus}: manifest.csv and the pack differ; `python -m corpora.pack {corpus}`")
    if kept := sorted({row["package"] for row in rows if catalogue.is_eval(row["package"])}):
        raise PackError(f"{corpus}: holds packages of the evaluation ({', '.join(kept)}), which nothing is learnt from")
    for row in rows:
        labels = json.loads(row["labels"]) if row["labels"] else {}
        origin = row["package"], row["path"]
        if tags := tags_of(*origin, row["kind"], float(row["seconds"]), labels):
            yield Source(
                number, row["key"], split_of(*origin, tags, row["key"], labels), group_of(*origin, labels), tags
            )


def without_known(sources: list[Source], table: LabelledSet) -> list[Source]:
    """Leaves out what is learnt from and sounds like a validation clip: free games share their effects."""
    fingerprints = {source: clips.fingerprint_of(table.clip(source)) for source in sources if is_effect(source)}
    held = clips.Fingerprints((source.clip, own) for source, own in fingerprints.items() if source.split == "valid")
    return [
        source
        for source in sources
        if source.split == "valid" or source not in fingerprints or (source.clip, fingerprints[source]) not in held
    ]


def is_effect(source: Source) -> bool:
    """Whether it is neither music nor speech, which are told apart by track and speaker."""
    return not {"music", "speech", "drums"} & set(source.tags)


def common(sources: list[Source]) -> list[Source]:
    """Without labels that too few clips of either split have, and without what is then left unlabelled."""
    counts = Counter((tag, source.split) for source in sources for tag in source.tags)
    kept = {tag for tag, _ in counts if counts[tag, "train"] >= FEWEST_TRAIN and counts[tag, "valid"] >= FEWEST_VALID}
    left = (source._replace(tags=tuple(tag for tag in source.tags if tag in kept)) for source in sources)
    return [source for source in left if source.tags]


def summary(table: LabelledSet) -> str:
    """A line a class: clips, hours and groups of either split; synthesis has no end, and no clips."""
    lines = [f"{'class':32} {'clips':>7} {'hours':>7} {'groups':>6}   {'valid':>7} {'hours':>7} {'groups':>6}"]
    for name in table.classes:
        cells = []
        for split in ("train", "valid"):
            members = [s for s in table.sources if name in s.tags and s.split == split and s.corpus != SYNTHESIS]
            hours, groups = sum(map(table.seconds, members)) / 3600, len({(s.corpus, s.group) for s in members})
            cells.append(f"{len(members):7} {hours:7.2f} {groups:6}" if members else f"{'synthesis':>22}")
        lines.append(f"{name:32} {'   '.join(cells)}")
    return "\n".join(lines)


def make(out: Path, corpora: Sequence[Path], mixtures: int, seconds: float, seed: int) -> LabelledSet:
    """Labels, splits, mixtures; all written to a folder."""
    sources = [source for number, corpus in enumerate(corpora) for source in sources_of(number, corpus)]
    sources = common(without_known(sources, LabelledSet.of(out, sources, corpora)))
    known = {tag for source in sources for tag in source.tags}
    kinds = PLAIN | {name: what for name, what in NOTES.items() if known.issuperset(what.tags)}
    sources += [Source(SYNTHESIS, name, "train", "synthesis", what.tags) for name, what in kinds.items()]
    table = LabelledSet.of(out, sources, corpora)
    valid = fixed(table, round(seconds * RATE), mixtures, seed)
    table.write(corpora, valid, {"mixtures": mixtures, "seconds": seconds, "seed": seed})
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--corpus", "corpora", multiple=True, required=True, type=click.Path(exists=True, path_type=Path),
    help="A packed corpus: of --set open, or of --from files with labels. May be given again.",
)  # fmt: skip
@click.option("--mixtures", default=2000, show_default=True, type=click.IntRange(min=1), help="To validate by.")
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(min=0.1), help="Of a mixture.")
@click.option("--seed", default=0, show_default=True, help="Of the mixtures.")
def main(out: Path, corpora: tuple[Path, ...], mixtures: int, seconds: float, seed: int) -> None:
    """Makes OUT: sources.csv, set.json and valid.npz, and prints classes, clips and hours."""
    try:
        table = make(out, corpora, mixtures, seconds, seed)
    except (PackError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(summary(table))
    click.echo(f"\n{len(table.classes)} classes, {len(table.sources)} sources, {table.hours:.2f} h to learn from")
    click.echo(f"{mixtures} mixtures of {seconds:g} s to validate by; fingerprint {table.fingerprint}")


if __name__ == "__main__":
    main()
