"""What a codec keeps of a sound: recordings given back by its decoder, to listen to, and how far off they are.

    python -m training.reports.codec_listen runs/melrvq-16k recording.flac -o heard

writes ``recording.wav`` and ``recording-1.wav``, ``recording-2.wav``, ... for more and more codebooks, and prints the
mean distance of log-mel values in natural logarithms; ``heard.json`` has these figures for the codec's card.
"""

import json
from pathlib import Path
from typing import Any

import click
import soundfile
import torch
from torch import Tensor

from hear_audioformer import audio
from hear_audioformer.audio import AudioError

from ..codec.quantising import Quantising
from ..export import learnt
from ..objectives.codec import CodecObjective
from ..objectives.melrvq import Melrvq

REPORT = "heard.json"


def of_run(run: Path) -> Quantising | Melrvq:
    """The codec of a run, with its decoder where it has one, ready to be used."""
    objective, _ = learnt(run)
    if not isinstance(objective, Quantising | Melrvq):
        raise click.UsageError(f"{run} trained no codec")
    if isinstance(objective, Quantising) and not objective.ready:
        raise click.UsageError(f"{run} ended before its codebooks began: train it longer, or lower objective.after")
    return objective


def counts(codebooks: int) -> list[int]:
    """Numbers of codebooks to compare: 1, 2, 4, ... and all."""
    return [count for count in (1, 2, 4, 8, 16) if count < codebooks] + [codebooks]


def whole(clip: Tensor, hop: int) -> Tensor:
    """A clip (samples,) with silence up to a whole frame, as a batch of one."""
    return torch.nn.functional.pad(clip, (0, -len(clip) % hop))[None]


@torch.no_grad()
def restored(objective: CodecObjective, codes: Tensor) -> Tensor:
    """Codes (batch, codebooks, frames) -> waveforms (batch, samples)."""
    codec = objective.encoder
    return objective.decoder(codec.quantizer.decode(codes))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder.")
@click.option("--format", "kind", type=click.Choice(["wav", "flac", "ogg"]), default="wav", help="Of what is written.")
def main(run: Path, clips: tuple[Path, ...], out: Path, kind: str) -> None:
    """Writes the recordings CLIPS as the codec of RUN gives them back."""
    objective = of_run(run)
    if not isinstance(objective, CodecObjective):
        raise click.UsageError(f"{run} has no decoder of sound: what its codes keep is told in log-mel values")
    codec, numbers = objective.encoder, counts(objective.encoder.config.codebooks)
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"codebook_hash": codec.codebook_hash(), "format": kind, "clips": {}}
    click.echo(f"{'codebooks':24}" + "".join(f"{count:8}" for count in numbers))
    for path in clips:
        try:
            clip = audio.read(path, codec.sample_rate)
        except AudioError as error:
            raise click.ClickException(str(error)) from error
        target = whole(clip, codec.hop)
        soundfile.write(out / f"{path.stem}.{kind}", clip.numpy(), codec.sample_rate)
        codes, errors = codec(target), {}
        for count in numbers:
            reconstruction = restored(objective, codes[:, :count])
            errors[count] = objective.distance.apart(reconstruction, target)
            sound = reconstruction[0, : len(clip)].clamp(-1, 1).numpy()
            soundfile.write(out / f"{path.stem}-{count}.{kind}", sound, codec.sample_rate)
        report["clips"][path.stem] = errors
        click.echo(f"{path.stem[:23]:24}" + "".join(f"{error:8.3f}" for error in errors.values()))
    (out / REPORT).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
