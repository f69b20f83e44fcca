"""Training throughput, side by side in one process: our loop against a plain re-creation of the authors'.

    python -m training.reports.training_speed --recipe asit-open

Both train the same ASiT with the same losses and the same optimiser. The authors' loop makes views recording by
recording: torchaudio's filter bank, then rectangles laid one by one until enough is covered; it writes attention
matrices out, goes through the parameters one by one to clip and to move the teacher, and knows float32 (or fp16 on a
GPU). Its data are made by worker processes beside the GPU, so its steps are also timed without them. Ours is
``training.loop`` as it runs. Rounds alternate, and the best round of each counts.
"""

import copy
import json
import random
import time
from collections.abc import Callable
from typing import Any, cast

import click
import torch
from torch import Tensor, nn

from evaluation.reports.speed.references import eager_attention
from hear_audioformer.layers import Attention

from .. import loop
from ..loop import Meter, Settings
from ..objectives import Steers, trainable
from ..objectives.asit import AsitObjective, Views
from ..objectives.gmml import Corrupted, Corruption
from ..pretrain import build, fabric_for
from ..recipe import read_recipe

RATE = 1e-4  # of learning; it changes nothing about the speed


class Eager(nn.Module):
    """An attention layer with its matrix written out."""

    def __init__(self, layer: Attention) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return eager_attention(self.layer, x)


class AuthorsLoop:
    """ASiT's published training step, in float32.

    Args:
        objective: whose networks, losses and settings are taken, with weights of its own.
        settings: of the optimiser.
    """

    def __init__(self, objective: AsitObjective, settings: Settings) -> None:
        self.objective = copy.deepcopy(objective)
        for network in (self.objective.student, self.objective.teacher):
            for block in network.encoder.blocks:
                block.attention = Eager(cast("Attention", block.attention))
        self.settings = settings
        self.optimiser = torch.optim.AdamW(loop._groups(self.objective, settings), lr=RATE, betas=settings.betas)
        self.random = random.Random(0)

    def views(self, audio: Tensor) -> Views:
        """Recordings (batch, samples) -> their views, one after another, on the device of the audio."""
        clean = torch.stack([self._crop(clip) for _ in range(2) for clip in audio.cpu()])
        corrupted = [self._corrupt(half) for half in clean.split(len(audio))]
        pictures, mask = (torch.cat(part).to(audio.device) for part in zip(*corrupted, strict=True))
        return Views(clean.to(audio.device), Corrupted(pictures, mask))

    def step(self, views: Views) -> None:
        """Losses, gradients, and both networks a step further."""
        objective = self.objective
        loss, _ = objective.losses(views, 0)
        self.optimiser.zero_grad()
        loss.backward()
        for parameter in trainable(objective):
            if parameter.grad is not None:
                factor = (self.settings.clip or 3.0) / (parameter.grad.norm(2) + 1e-6)
                if factor < 1:
                    parameter.grad.mul_(factor)
        self.optimiser.step()
        for centre in objective.centres.values():
            centre.update()  # type: ignore[operator]
        with torch.no_grad():
            pairs = zip(objective.student.parameters(), objective.teacher.parameters(), strict=True)
            for student, teacher in pairs:
                teacher.mul_(objective.momentum).add_((1 - objective.momentum) * student.detach())

    def _crop(self, clip: Tensor) -> Tensor:
        from torchaudio.compliance import kaldi

        encoder = self.objective.encoder
        if self.random.random() < 0.5:
            clip = clip.roll(self.random.randint(0, len(clip)))
        start = self.random.randint(0, len(clip) - self.objective.view)
        crop = clip[start : start + self.objective.view]
        bank = kaldi.fbank(
            (crop - crop.mean())[None],
            htk_compat=True,
            sample_frequency=encoder.sample_rate,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=encoder.config.bands,
            dither=0.0,
            frame_shift=10,
        )
        return (bank[: encoder.config.frames] - encoder.config.mean) / (2 * encoder.config.std)

    def _corrupt(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Crops of one view -> corrupted ones and where they differ."""
        corruption = self.objective.corruption
        pictures, masks = [], []
        for crop in clean:
            replaced = self.random.random() < corruption.odds
            share = corruption.replace if replaced else self.random.uniform(min(0.5, corruption.drop), corruption.drop)
            filling = clean[self.random.randrange(len(clean))] if replaced else torch.zeros_like(crop)
            picture, mask = self._cover(crop.clone(), filling, share, corruption)
            pictures.append(picture)
            masks.append(mask)
        return torch.stack(pictures), torch.stack(masks)

    def _cover(self, picture: Tensor, filling: Tensor, share: float, corruption: Corruption) -> tuple[Tensor, Tensor]:
        rows, columns = picture.shape
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        while mask.sum() < share * mask.numel():
            row, column = (
                self.random.randrange(rows - corruption.align),
                self.random.randrange(columns - corruption.align),
            )
            height = min(self.random.randrange(corruption.align, int(0.3 * rows)), rows - row)
            width = min(self.random.randrange(corruption.align, int(0.3 * columns)), columns - column)
            block = (slice(row, row + height), slice(column, column + width))
            picture[block] = filling[block]
            mask[block] = True
        return picture, mask


class OurLoop:
    """A step of ``training.loop`` in a precision."""

    def __init__(self, objective: AsitObjective, settings: Settings, precision: str) -> None:
        self.fabric = fabric_for(precision)
        self.objective = copy.deepcopy(objective)
        self.settings = settings
        self.model = self.fabric.setup_module(self.objective)
        optimiser = torch.optim.AdamW(loop._groups(self.objective, settings), lr=RATE, betas=settings.betas)
        self.optimiser: Any = self.fabric.setup_optimizers(optimiser)

    def step(self, audio: Tensor) -> None:
        """Views, losses, gradients, and both networks a step further."""

        def source(batch: int, generator: torch.Generator) -> Tensor:
            return audio

        steers = cast("Steers", self.objective)
        loop._step(self.model, self.optimiser, source, self.settings, self.fabric, 0, 0, Meter(), steers)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """How long something takes, once."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(objective: AsitObjective, settings: Settings, rounds: int, device: torch.device) -> dict[str, float]:
    """The best seconds of a step of each contender."""
    audio = 0.1 * torch.randn(settings.batch, objective.crop, device=device)
    objective = objective.to(device).train()
    authors = AuthorsLoop(objective, settings)
    views = authors.views(audio)
    runs: dict[str, Callable[[], object]] = {
        "authors fp32": lambda: authors.step(authors.views(audio)),
        "authors fp32, data ready": lambda: authors.step(views),
    }
    for name, precision in (("ours fp32", "32-true"), ("ours bf16", "bf16-mixed")):
        ours = OurLoop(objective, settings, precision)
        runs[name] = lambda ours=ours: ours.step(audio)  # type: ignore[misc]
    best = dict.fromkeys(runs, float("inf"))
    for number in range(rounds + 1):
        for name, run in runs.items():
            took = seconds_of(run, device)
            best[name] = min(best[name], took) if number else best[name]
    return best


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--recipe", default="asit-open", show_default=True, help="An ASiT recipe.")
@click.option("--batch", type=int, help="Recordings in a step.  [default: the recipe's]")
@click.option("--rounds", default=5, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line instead of a table.")
def main(recipe: str, batch: int | None, rounds: int, device: str, as_json: bool) -> None:
    """Prints recordings per second of the authors' loop and of ours."""
    try:
        import torchaudio  # noqa: F401  # the authors' filter bank
    except (ImportError, OSError) as error:
        raise click.ClickException(f"the authors' loop needs a torchaudio that fits this torch: {error}") from error
    chosen = read_recipe(recipe, [f"loop.batch={batch}"] if batch else ())
    if chosen.method != "asit":
        raise click.UsageError(f"{recipe} is a recipe of {chosen.method}; choose one of ASiT")
    settings = chosen.loop
    torch.manual_seed(0)
    best = measure(cast("AsitObjective", build(chosen)), settings, rounds, torch.device(device))
    rates = {name: settings.batch / took for name, took in best.items()}
    if as_json:
        click.echo(json.dumps({"recipe": recipe, "batch": settings.batch, "recordings_per_second": rates}))
        return
    click.echo(f"{recipe}, {settings.batch} recordings a step, {device}, {torch.get_num_threads()} threads")
    for name, rate in rates.items():
        click.echo(f"{name:26} {rate:8.2f}/s ({rate / rates['authors fp32']:4.2f}x)")


if __name__ == "__main__":
    main()
