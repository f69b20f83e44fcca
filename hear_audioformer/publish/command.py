"""The command ``hear-audioformer publish``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("model", metavar="FILE")
@click.option("--repo", required=True, metavar="OWNER/NAME", help="The repository; created if it is not there.")
@click.option("--licence", metavar="ID", help="The Hub's identifier, if the file states no licence: cc-by-4.0, ...")
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--revision", default="main", show_default=True, metavar="BRANCH", help="Created if it is not there.")
@click.option("--dataset", "datasets", multiple=True, metavar="ID", help="On the Hub; trained on. May be repeated.")
@click.option("--base-model", metavar="ID", help="On the Hub; what the weights were converted or fine-tuned from.")
@click.option("--index", type=click.Path(path_type=Path, dir_okay=False), help="Write the entry into this file.")
@click.option("--overwrite", is_flag=True, help="Replace files of the repository that differ, and the index's entry.")
@click.option("--dry-run", is_flag=True, help="Print the card and the files; nothing is sent.")
def publish(
    model: str,
    repo: str,
    licence: str | None,
    private: bool,
    revision: str,
    datasets: tuple[str, ...],
    base_model: str | None,
    index: Path | None,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Puts a weight FILE, or a model known by name, on the Hugging Face Hub, in one commit.

    The repository gets the file, a card with the metadata that the Hub reads, and what transformers' AutoModel needs.
    NAME.md beside the file becomes the card's text. The entry of the index, which pins the commit, is printed as JSON.

    \b
    Examples:
      hear-audioformer publish weights/msm-mae-tiny.safetensors --repo me/msm-mae-tiny --dry-run
      hear-audioformer publish paper.safetensors --repo me/paper --licence cc-by-4.0 --index my/index.json
    """
    if dry_run:
        from .plan import prepare

        plan = prepare(model, repo, licence=licence, datasets=datasets, base_model=base_model)
        click.echo(plan.card)
        for name, size in plan.sizes().items():
            click.echo(f"{size:>12} {name}", err=True)
        click.echo(f"nothing is sent: leave --dry-run out to commit this to {repo}", err=True)
        return
    from .run import publish as run

    done = run(
        model,
        repo,
        licence=licence,
        private=private,
        revision=revision,
        datasets=datasets,
        base_model=base_model,
        index=index,
        overwrite=overwrite,
    )
    click.echo(json.dumps(done.entry, indent=2))
    file = done.plan.entry["file"]
    click.echo(f"published: hear_audioformer.load_model('hf://{repo}@{done.revision}/{file}')", err=True)
