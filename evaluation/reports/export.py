"""Compares exported models with the package: embeddings, file sizes, CPU speed.

    python -m evaluation.reports.export exported/

Files are written into the folder once and then used again. Differences are the largest over clips of several lengths,
alone and in a batch of three: a recording, noise, and the recording backwards. A pure tone behind silence stands apart:
beside it most bands hold nothing but float32 rounding, of the package as well. Times are medians of alternating rounds
in one process with one thread. int8 is ONNX Runtime's dynamic quantisation of the encoder's products with weights.
"""

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from hear_audioformer import audio, export, list_models, load_model
from hear_audioformer.export.fusion import graph_of
from hear_audioformer.export.trace import require
from hear_audioformer.model import Model

RECORDING = Path(__file__).parents[2] / "docs" / "example.ogg"
SECONDS = (0.3, 1.0, 10.0, 33.0)  # and the length of a window, more and less a sample
BATCHES = (1, 3)
FRONT = ("front.", "codec.", "spectrum.", "filters")  # in names of what makes features, which int8 would ruin
Signal = Callable[[int, int, int], Tensor]  # samples, batch, sample rate -> (batch, samples)


@dataclass
class Difference:
    """The largest difference of an exported model from the package.

    Attributes:
        absolute: of a value.
        relative: length of the difference of a vector, to that of the vector.
        milliseconds: of a timestamp.
    """

    absolute: float = 0.0
    relative: float = 0.0
    milliseconds: float = 0.0

    def add(self, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
        """Takes the outputs for one batch: embeddings, and timestamps if there are any."""
        apart = found[0] - wanted[0]
        lengths = wanted[0].norm(dim=-1).clamp(min=1e-12)
        self.absolute = max(self.absolute, float(apart.abs().max()))
        self.relative = max(self.relative, float((apart.norm(dim=-1) / lengths).max()))
        for ours, theirs in zip(found[1:], wanted[1:], strict=True):
            self.milliseconds = max(self.milliseconds, float((ours - theirs).abs().max()))


def clips(samples: int, batch: int, sample_rate: int) -> Tensor:
    """(batch, samples): a recording, noise, the recording backwards."""
    recording = audio.read(RECORDING, sample_rate)
    noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    looped = recording.repeat(-(-samples // len(recording)))[:samples]
    return torch.stack([looped, noise, looped.flip(0)][:batch])


def tone(samples: int, batch: int, sample_rate: int) -> Tensor:
    """(batch, samples): a pure tone that begins after silence, and quieter ones."""
    moments = torch.arange(samples) / sample_rate
    wave = 0.5 * torch.sin(2 * torch.pi * 440 * moments) * (moments > moments[-1] / 3)
    return wave * 0.1 ** torch.arange(batch)[:, None]


def session_of(path: Path) -> Any:
    """An ONNX Runtime session on the CPU, of one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session: Any, waveforms: Tensor) -> list[Tensor]:
    """Outputs of a session."""
    return [torch.from_numpy(output) for output in session.run(None, {"audio": waveforms.numpy()})]


def difference(
    embedder: Model, session: Any, timestamps: bool, lengths: Sequence[int], signal: Signal = clips
) -> Difference:
    """The largest over all lengths and batches."""
    largest = Difference()
    for samples in lengths:
        for batch in BATCHES:
            waveforms = signal(samples, batch, embedder.sample_rate)
            wanted = list(embedder.timestamps(waveforms)) if timestamps else [embedder.scene(waveforms)]
            largest.add(run(session, waveforms), wanted)
    return largest


def exported(folder: Path, name: str, timestamps: bool) -> Path:
    """A model's ONNX file, written if it is not there."""
    path = folder / f"{name}-{'timestamps' if timestamps else 'scene'}.onnx"
    if not path.exists():
        export.write(name, path, timestamps=timestamps)
    return path


def quantised(path: Path, out: Path) -> Path:
    """The model with int8 weights, and activations quantised as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)  # it advises what the next line does
    quant_pre_process(str(path), str(out), skip_symbolic_shape=True)
    nodes = onnx.load(path, load_external_data=False).graph.node
    front = [node.name for node in nodes if any(part in name for name in node.input for part in FRONT)]
    kinds = ["MatMul", "Gemm"]
    quantize_dynamic(
        str(out), str(out), weight_type=QuantType.QInt8, op_types_to_quantize=kinds, nodes_to_exclude=front
    )
    return out


def medians(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each, in alternating rounds after a round that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, call in contenders.items():
            started = time.process_time()
            call()
            if number:
                taken[name].append(time.process_time() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def parity_row(name: str, folder: Path) -> str:
    """A model's line of the first table, for both outputs."""
    cells = [name]
    for timestamps in (False, True):
        embedder = load_model(name, precision="fp32")
        window, rate = graph_of(embedder).window, embedder.sample_rate
        lengths = [*(round(seconds * rate) for seconds in SECONDS), window - 1, window, window + 1]
        path = exported(folder, name, timestamps)
        session = session_of(path)
        found = difference(embedder, session, timestamps, lengths)
        pure = difference(embedder, session, timestamps, lengths[:2], tone)
        cells += [f"{found.absolute:.1e}", f"{found.relative:.1e}", f"{pure.absolute:.1e}"]
        cells += [f"{found.milliseconds:g}"] if timestamps else []
        cells += [f"{path.stat().st_size / 1e6:.1f}"]
    return f"| {' | '.join(cells)} |"


def speed_row(name: str, folder: Path, seconds: float, rounds: int) -> str:
    """A model's line of the second table: clips a CPU second, scenes of one clip at a time."""
    path = exported(folder, name, False)
    models = {precision: load_model(name, precision=precision) for precision in ("fp32", "bf16")}
    waveforms = clips(round(seconds * models["fp32"].sample_rate), 1, models["fp32"].sample_rate)
    with tempfile.TemporaryDirectory() as temporary:
        small = quantised(path, Path(temporary) / "int8.onnx")
        sessions = {"onnx fp32": session_of(path), "onnx int8": session_of(small)}
        size = os.path.getsize(small) / 1e6
    calls: dict[str, Callable[[], object]] = {key: partial(model.scene, waveforms) for key, model in models.items()}
    calls |= {key: partial(run, session, waveforms) for key, session in sessions.items()}
    taken = medians(calls, rounds)
    apart = difference(models["fp32"], sessions["onnx int8"], False, [waveforms.shape[1]])
    rates = [f"{1 / value:.1f} ({taken['fp32'] / value:.2f}x)" for value in taken.values()]
    return f"| {' | '.join([name, *rates, f'{apart.relative:.1e}', f'{size:.1f}'])} |"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--model", "models", multiple=True, help="Repeatable.  [default: every bundled model]")
@click.option("--seconds", default=10.0, show_default=True, help="Length of the timed clips.")
@click.option("--rounds", default=5, show_default=True, help="Of the times; 0 leaves them out.")
def main(folder: Path, models: tuple[str, ...], seconds: float, rounds: int) -> None:
    """Exports every bundled model to FOLDER, and prints how its embeddings, size and speed compare."""
    require("onnx", "onnxscript", "onnxruntime")
    torch.set_num_threads(1)
    names = models or tuple(list_models())
    columns = ["model", "scene", "relative", "tone", "MB", "frames", "relative", "tone", "ms", "MB"]
    click.echo(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in names:
        click.echo(parity_row(name, folder))
    if rounds:
        click.echo(f"\n{seconds:g}-s clips a CPU second, one thread\n")
        click.echo(
            "| model | fp32 | bf16 | ONNX fp32 | ONNX int8 | int8 differs | int8 MB |\n|---|---|---|---|---|---|---|"
        )
        for name in names:
            click.echo(speed_row(name, folder, seconds, rounds))


if __name__ == "__main__":
    main()
