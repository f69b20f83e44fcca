"""A model card from what is on disk: the weight file's own provenance, its training log, files of results.

    python -m training.reports.card msm-mae-tiny results/.../open-suite.json --against results/.../open-suite.json ...
    python -m training.reports.card melrvq-16k accepted.json --heard docs/heard

A codec's card is made of what ``training.reports.codec_accept -o`` and ``training.reports.codec_listen -o`` wrote.
Writes ``weights/NAME.md`` and the loss curve ``weights/NAME.png``. No figure of a card is typed by hand.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

import click
import yaml

from evaluation.reports import compare
from evaluation.scoring.bootstrap import Interval
from hear_audioformer import checkpoint, weights
from hear_audioformer.checkpoint import Header
from hear_audioformer.codec import Codec

from .. import logs
from ..recipe import Data, Recipe
from .codec_listen import REPORT
from .figures import draw_loss

NOTES = Path(__file__).with_name("cards")
VALIDATION = {"valid_map": "mean average precision"}
Heard = tuple[dict[str, Any], str]  # listen's report, and the folder of its recordings as seen from the card


def scores(result: dict[str, Any]) -> dict[str, Interval]:
    """Scores by task; a task that HEAR's format holds in two folders is the mean of both."""
    scored = compare.Result(result)
    return compare.merged({task: scored.interval(task) for task in scored.tasks})


def title(result: dict[str, Any]) -> str:
    """How a table calls the model of a file of results."""
    module = result["module"].rsplit(".", 1)[-1]
    return result["name"] if module in weights.METHODS.values() else module


def table(results: list[dict[str, Any]]) -> list[str]:
    """The first result beside the others, in per cent, with its wins over each."""
    columns = [scores(result) for result in results]
    tasks = [task for task in columns[0] if all(task in column for column in columns)]
    lines = [f"| task | {' | '.join(title(result) for result in results)} |", "|---" * (1 + len(results)) + "|"]
    lines += [f"| {task} | {' | '.join(column[task].per_cent() for column in columns)} |" for task in tasks]
    means = [Interval.mean([column[task] for task in tasks]).per_cent() for column in columns]
    wins = [sum(columns[0][task].value > column[task].value for task in tasks) for column in columns[1:]]
    lines.append(f"| mean | {' | '.join(means)} |")
    lines.append(f"| tasks won | | {' | '.join(f'{won} of {len(tasks)}' for won in wins)} |")
    return lines


def examined(report: dict[str, Any]) -> list[str]:
    """What was found of a codec, a row a figure."""

    def row(name: str, values: list[float], form: str) -> str:
        return f"| {name} | {', '.join(f'{value:{form}}' for value in values)} |"

    errors = {int(count): value for count, value in report["errors"].items()}
    lines = [
        f"| on the recordings of `{report['task']}` | |",
        "|---|---|",
        row("perplexity of codebooks 1, 2, ...", report["perplexity"], ".0f"),
        row("share of their commonest codes", report["commonest"], ".3f"),
        row(f"log-mel distance of {', '.join(map(str, errors))} codebooks", list(errors.values()), ".3f"),
        row("log-mel distance of latents as they are", [report["unquantised"]], ".3f"),
        row("codes that stay with their sound after a shift", [report["stable"]], ".4f"),
        *(row(f"a linear head on {features}", [value], ".3f") for features, value in report["probe"].items()),
    ]
    return [
        *lines,
        *(f"| {question}? | {'yes' if answer else 'no'} |" for question, answer in report["verdicts"].items()),
    ]


def listened(report: dict[str, Any], folder: str) -> list[str]:
    """Recordings as a codec gives them back, to be listened to in ``folder``, with their log-mel distances."""
    kind, clips = report["format"], report["clips"]
    counts = list(next(iter(clips.values())))
    lines = [f"| codebooks | none | {' | '.join(counts)} |", "|---" * (2 + len(counts)) + "|"]
    for name, errors in clips.items():
        cells = [f"[{error:.3f}]({folder}/{name}-{count}.{kind})" for count, error in errors.items()]
        lines.append(f"| {name} | [original]({folder}/{name}.{kind}) | {' | '.join(cells)} |")
    return lines


def card(name: str, path: Path, header: Header, results: list[dict[str, Any]], heard: Heard | None = None) -> str:
    """The card as Markdown; ``results`` are files of scores, or the one report on a codec."""
    made = header.provenance
    recipe = Recipe.parse(made["recipe"], path.name)
    notes = yaml.safe_load((NOTES / f"{name}.yaml").read_text())
    encoder = {key: value for key, value in header.config.items() if value is not None}
    size, digest = path.stat().st_size / 1e6, checkpoint.sha256(path)
    facts: dict[str, Any] = {
        "file": f"`{path.name}`, {size:.1f} MB (half precision), sha256 `{digest}`",
        "method": f"{header.method}; {', '.join(f'{key} {value}' for key, value in encoder.items())}",
        "input normalised by": ", ".join(f"{key} {value}" for key, value in header.normalisation.items()),
        "licence of the weights": header.licence,
    }
    batch = recipe.loop.batch
    training: dict[str, Any] = {
        "corpus": f"{made['corpus_hours']} h of recordings, fingerprint `{made['corpus_sha256']}`",
        "drawn": batches(recipe.data),
        "run": f"{made['steps']} steps of {batch} crops: {made['crops']} crops, {made['hours_heard']} h heard",
        "time": f"{made['training_hours']} h on {made['hardware']}, {recipe.precision}",
        "last loss": f"{made['last_loss']:.4f}",
        "validation": ", ".join(
            f"{VALIDATION.get(key, key)} {made['valid'][key]:.4f}" for key in made.get("valid") or ()
        ),
        "seed": recipe.seed,
    }
    facts, training = ({key: value for key, value in entries.items() if value != ""} for entries in (facts, training))
    parts = [
        f"# {name}",
        notes["summary"].strip(),
        _list(facts),
        "## Training",
        _list(training),
        f"```bash\n{notes['commands'].strip()}\n```",
        *([f"![loss]({name}.png)"] if path.with_suffix(".png").exists() else []),
        "## Evaluation",
        notes["evaluation"].strip(),
        "\n".join(examined(results[0]) if "verdicts" in results[0] else table(results)),
        *(("## To listen to", notes["heard"].strip(), "\n".join(listened(*heard))) if heard else ()),
        "## Data and licence",
        notes["licence"].strip(),
        "## Limits",
        notes["limits"].strip(),
    ]
    return "\n\n".join(parts) + "\n"


def batches(data: Data) -> str:
    """What a batch is made of."""
    if data.mixtures is not None:
        shares = data.mixtures.shares
        parts = ", ".join(f"{share / sum(shares):.0%} of {count}" for count, share in enumerate(shares, start=1))
        return f"mixtures of labelled sources, {parts}"
    total = sum(data.shares.values())
    parts = ", ".join(f"{kind} {share / total:.0%}" for kind, share in data.shares.items())
    return f"{parts} of the real crops; {data.synthetic:.0%} of all crops synthetic"


def _list(facts: dict[str, Any]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--against",
    multiple=True,
    metavar="RESULT",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Results to set beside it; repeatable.",
)
@click.option(
    "--heard",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of a codec: what codec_listen wrote.",
)
def main(name: str, result: Path, against: tuple[Path, ...], heard: Path | None) -> None:
    """Writes the card of the bundled model NAME, weights/NAME.md, from its file of results.

    RESULT is SUITE.json of evaluation.probe, made with the very weights of NAME; --against, repeatable, sets baselines
    beside it. Of a codec it is what training.reports.codec_accept -o wrote. Provenance, settings and the loss curve
    come from the weight file and weights/NAME.jsonl. An existing card is replaced.

    \b
    Example:
      python -m training.reports.card msm-mae-tiny results/hear_audioformer.msm_mae/msm-mae-tiny/open-suite.json \\
          --against results/evaluation.baselines.logmel/evaluation.baselines.logmel/open-suite.json
    """
    path = weights.resolve(name)
    header = checkpoint.read_header(path)
    results = [json.loads(file.read_text()) for file in (result, *against)]
    sounds = json.loads((heard / REPORT).read_text()) if heard else None
    if "verdicts" in results[0]:
        made_by = cast(Codec, weights.load_network(path)[0]).codebook_hash()
        same = all(report["codebook_hash"] == made_by for report in (results[0], *([sounds] if sounds else [])))
    else:
        same = results[0]["model_sha256"] == checkpoint.sha256(path)
    if not same:
        raise click.ClickException(f"{result} or {heard} is of other weights than {path}: make it again")
    target = path.with_suffix(".md")
    if len(logs.read(path.with_suffix(".jsonl"))) > 1:  # what was fitted has no course to draw
        draw_loss(path.with_suffix(".jsonl")).savefig(path.with_suffix(".png"), dpi=100)
    recordings = (sounds, os.path.relpath(heard, path.parent)) if heard and sounds else None
    target.write_text(card(name, path, header, results, recordings))
    click.echo(f"-> {target}")


if __name__ == "__main__":
    main()
