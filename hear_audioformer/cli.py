"""The command line: ``hear-audioformer embed | search | demo | classify | cluster | plot | list | info | ...``.

Help and ``list`` answer at once, because modules that need torch are imported inside the commands.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from . import __version__
from .bulk.command import embed
from .commands.classify import classify
from .commands.cluster import cluster
from .commands.plot import plot
from .commands.search import search
from .demo.command import demo
from .errors import StoreError, WeightsError
from .publish.command import publish

CONVERTED = ("msm-mae", "asit", "audioformer", "codec")  # a copy of convert.METHODS, whose module needs torch


class Failure(click.ClickException):
    """An error in one line; exit code 2, as for a wrong command line."""

    exit_code = 2


class Commands(click.Group):
    """Turns the package's own errors into one line on stderr."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (WeightsError, StoreError, ValueError, TypeError) as error:
            raise Failure(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Audio embeddings: a vector for a recording, or one for each 20 or 40 ms of it (`list` tells).

    \b
    Examples:
      hear-audioformer list
      hear-audioformer embed recordings/ -o vectors.npz
      hear-audioformer embed a.wav b.flac -o frames.parquet --timestamps --hop-ms 20
      hear-audioformer search vectors.npz query.wav
      hear-audioformer convert --method msm-mae 80x512p16x16_paper/checkpoint-100.pth -o paper.safetensors
      hear-audioformer validate hear_audioformer.msm_mae --model paper.safetensors
      hear-audioformer publish paper.safetensors --repo OWNER/NAME --dry-run

    Exit codes: 0 all done, 1 done but for the inputs listed at the end, 2 nothing done.
    """


main.add_command(embed)
main.add_command(demo)
main.add_command(search)
main.add_command(classify)
main.add_command(cluster)
main.add_command(plot)
main.add_command(publish)


@main.command("list")
def list_() -> None:
    """The models known by name: size, rate, values of a vector, hops, speed; then the parts of models.

    `hear-audioformer info NAME` tells all of one.
    """
    from .index import index
    from .listing import lines

    table = index()
    if not table.models:
        click.echo("no models are known by name in this version; pass a weight file or an hf:// address")
    for line in lines(table):
        click.echo(line)


@main.command()
@click.argument("model", default="")
def info(model: str) -> None:
    """Prints a model's facts: method, configuration, normalisation, origin, licence, sizes (JSON)."""
    from . import checkpoint, weights
    from .encoder import Encoder
    from .facts import parameters
    from .index import METHODS

    path = weights.resolve(model)
    network, header = weights.load_network(path)
    embedder = network.model() if header.method in METHODS else None  # and not a codec
    facts = {
        "file": str(path),
        **asdict(header),
        "sha256": checkpoint.sha256(path),  # of the whole file; the header's own is its seal, checked on reading
        "parameters": parameters(embedder or network, header.method),
        "sample_rate": (embedder or network).sample_rate,
    }
    if isinstance(network, Encoder):
        facts["window_seconds"] = network.window / network.sample_rate
    if embedder:
        facts |= {
            "scene_embedding_size": embedder.scene_embedding_size,
            "timestamp_embedding_size": embedder.timestamp_embedding_size,
            "hop_ms": embedder.hop_ms,
            "hop_ms_choices": embedder.hops,
            "latency_ms": embedder.latency_ms,
        }
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False))


@main.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", type=click.Choice(CONVERTED), required=True)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Result: NAME.safetensors.")
@click.option("--heads", type=click.IntRange(min=1), help="Attention heads.  [default: width / 64]")
@click.option("--input", "size", metavar="BANDSxFRAMES", help="Input window, e.g. 80x512.  [default: from the shapes]")
@click.option("--sample-rate", type=int, help="Hz. ASiT needs it.  [default: from the folder's name, else 16000]")
@click.option("--normalisation", type=float, nargs=2, metavar="MEAN STD", help="[default: the file's or the papers']")
@click.option("--network", type=click.Choice(["teacher", "student"]), help="ASiT.  [default: teacher]")
@click.option("--codec", help="AudioFormer: whose codes it reads; a name or a file.  [default: encodec_24khz]")
@click.option("--code-offset", type=int, help="AudioFormer: the id of code 0.  [default: 4 of 1028 words]")
@click.option("--special-ids", type=int, nargs=4, metavar="FIRST PAD LAST MASK", help="[default: 0 1 2 3]")
@click.option("--licence", default="see the source of the checkpoint", help="Kept in the file's header.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def convert(
    sources: tuple[Path, ...],
    method: str,
    out: Path,
    heads: int | None,
    size: str | None,
    sample_rate: int | None,
    normalisation: tuple[float, float] | None,
    network: str | None,
    codec: str | None,
    code_offset: int | None,
    special_ids: tuple[int, ...] | None,
    licence: str,
    overwrite: bool,
) -> None:
    """Turns a published checkpoint into a weight file of this package.

    AudioFormer has a file for each codebook: give them all, the first codebook's first.

    Pickles are opened with torch's weights_only reader alone, which runs no code of theirs. What the shapes do not
    tell comes from the folder's name, as the authors write it, or from the options.
    """
    from .convert import convert_file

    if out.suffix != ".safetensors":
        raise Failure(f"{out}: the name must end in .safetensors")
    if out.exists() and not overwrite:
        raise Failure(f"{out} exists; choose another name, or pass --overwrite")
    hints: dict[str, Any] = {"heads": heads, "sample_rate": sample_rate, "normalisation": normalisation}
    hints |= {"network": network, "codec": codec, "code_offset": code_offset, "special_ids": special_ids}
    hints = {name: hint for name, hint in hints.items() if hint is not None}
    if size:
        try:
            bands, frames = map(int, size.lower().split("x"))
        except ValueError as error:
            raise click.BadParameter(f"{size!r} is not of the form 80x512", param_hint="--input") from error
        hints["input_size"] = (bands, frames)
    result = convert_file(method, sources, out, licence=licence, **hints)
    for note in result.notes:
        click.echo(f"note: {note}")
    for digest, source in zip(result.source_sha256.split(", "), sources, strict=True):
        click.echo(f"sha256 {digest}  {source}")
    click.echo(f"sha256 {result.sha256}  {out}")


@main.command()
@click.argument("model")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Result: NAME.onnx or NAME.pt2.")
@click.option("--timestamps", is_flag=True, help="Frames and their centres in ms instead of one embedding a clip.")
@click.option("--hop-ms", type=float, help="Step between timestamps.  [default: the longest up to 50 ms]")
@click.option("--pool", help="Frames -> scene: mean, mean+std, or what else the model offers.  [default: its own]")
@click.option("--seconds", type=float, help="Fixes the length of the clips.  [default: any length]")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def export(
    model: str,
    out: Path,
    timestamps: bool,
    hop_ms: float | None,
    pool: str | None,
    seconds: float | None,
    overwrite: bool,
) -> None:
    """Writes MODEL as a file for ONNX Runtime (.onnx) or torch.export.load (.pt2): waveform in, embedding out.

    The input is (batch, samples), float32, at the model's rate. The file contains the front end, and cuts, pools and
    normalises as the package does. It appears once its embeddings equal the package's. This takes up to some minutes.
    """
    from .export import write

    if hop_ms is not None and not timestamps:
        raise Failure("--hop-ms is the step between timestamps: pass --timestamps with it")
    if pool is not None and timestamps:
        raise Failure("--pool makes one embedding of a clip's frames: leave it out with --timestamps")
    write(model, out, timestamps=timestamps, seconds=seconds, overwrite=overwrite, hop_ms=hop_ms, pool=pool)
    click.echo(f"{model} -> {out} ({out.stat().st_size / 1e6:.1f} MB)")


@main.command()
@click.argument("module")
@click.option("--model", default="", help="Weights to pass to load_model.")
@click.option("--device", help="[default: cuda if there is one]")
def validate(module: str, model: str, device: str | None) -> None:
    """Checks any HEAR MODULE (such as hear_audioformer.msm_mae) against the HEAR API, without TensorFlow.

    Every rule of hearvalidator 2021.0.2 and 2021.0.6 is checked, then what the API leaves open: that an embedding does
    not depend on its neighbours, that short, silent and clipped audio gives finite values, that NaN is refused.
    """
    from .devices import device_of
    from .validate import check

    failed = False
    for finding in check(module, model, device_of(device)):
        level = click.style(
            f"{finding.level:8}", fg={"ok": "green", "warning": "yellow", "error": "red"}[finding.level]
        )
        click.echo(f"{level} {finding.rule}" + (f": {finding.detail}" if finding.detail else ""))
        failed |= finding.level == "error"
    click.get_current_context().exit(1 if failed else 0)
