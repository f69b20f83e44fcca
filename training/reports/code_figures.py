"""Pictures of what reads and writes codes: how they are used, how well they are guessed, where a model looks."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from hear_audioformer import audio
from hear_audioformer.audioformer import Audioformer
from hear_audioformer.audioformer.language import Layer, rotary, rotate
from hear_audioformer.codec import Codec

from .. import logs
from ..codec.quantising import Quantising
from .codec_listen import counts, whole


def grid(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    """A figure and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def usage(codec: Codec, clips: list[Path]) -> Tensor:
    """Shares of all codes in some recordings, (codebooks, codes)."""
    size, total = codec.config.codes, torch.zeros(codec.config.codebooks, codec.config.codes)
    for path in clips:
        for codes, row in zip(codec(audio.read(path, codec.sample_rate)[None])[0], total, strict=True):
            row += torch.bincount(codes, minlength=size)
    return total / total.sum(1, keepdim=True)


def draw_usage(codec: Codec, clips: list[Path]) -> Any:
    """How often each code is used, commonest first, a line a codebook; even use would be flat."""
    shares = usage(codec, clips)
    figure, [[axis]] = grid(1, 1, 6.4, 3.6)
    for number, row in enumerate(shares, 1):
        perplexity = float(torch.special.entr(row).sum().exp())
        axis.plot(row.sort(descending=True).values, lw=1, label=f"codebook {number}: perplexity {perplexity:.0f}")
    axis.axhline(1 / shares.shape[1], color="0.5", lw=1, ls=":", label="even use")
    axis.set_yscale("log")
    axis.set_xlabel("codes, commonest first")
    axis.set_ylabel("share of frames")
    axis.legend(fontsize=7)
    return figure


def draw_accuracy(source: Path) -> Any:
    """Masked codes guessed right over the steps, and what copying the last seen code gets; from a run or a log."""
    lines = logs.read(source / "log.jsonl" if source.is_dir() else source)
    if not lines or "copy_accuracy" not in lines[0]:
        raise ValueError(f"{source}: no log of masked language modelling")
    figure, [[axis]] = grid(1, 1, 6.4, 3.6)
    steps = [line["step"] for line in lines]
    for name, label in (("accuracy", "the model"), ("copy_accuracy", "copying the last code seen")):
        axis.plot(steps, [100 * line[name] for line in lines], lw=1, label=label)
    axis.set_xlabel("step")
    axis.set_ylabel("masked codes guessed right, %")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    return figure


@torch.no_grad()
def attention(encoder: Audioformer, codes: Tensor, sequence: int, number: int) -> Tensor:
    """Attention of a block (1..depth) on one sequence of each clip, averaged over heads: (batch, tokens, tokens)."""
    kept: dict[str, Tensor] = {}
    backbone = encoder.backbone(sequence)
    layer = cast(Layer, backbone.blocks[number - 1])
    hooks = [
        layer.projections[name].register_forward_hook(lambda _, __, out, name=name: kept.update({name: out}))
        for name in ("query", "key")
    ]
    encoder.read(codes, sequence)
    for hook in hooks:
        hook.remove()
    q, k = (kept[name].unflatten(-1, (layer.heads, -1)).transpose(1, 2) for name in ("query", "key"))
    if encoder.config.arch == "roformer":
        turn = rotary(q.shape[2], backbone.sizes, q.device)
        q, k = rotate(q, *turn), rotate(k, *turn)
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1).mean(1)


def draw_attention(encoder: Audioformer, clip: Path) -> Any:
    """Which moments look at which, in the middle and the last block, for every sequence of a recording's beginning."""
    sound = audio.read(clip, encoder.sample_rate)[: encoder.window]
    codes = encoder.clip_context(sound[None])
    assert codes is not None
    seconds = codes.shape[1] * encoder.codec.hop / encoder.sample_rate
    blocks = sorted({max(1, encoder.depth // 2), encoder.depth})
    figure, axes = grid(len(blocks), encoder.config.sequences, 2.9, 2.7)
    for line, block in zip(axes, blocks, strict=True):
        for sequence, axis in enumerate(line):
            looks = attention(encoder, codes.long(), sequence, block)[0, 1:-1, 1:-1]
            top = float(looks.quantile(0.995)) if looks.numel() < 2**24 else float(looks.max())
            axis.imshow(looks.numpy(), cmap="magma", vmin=0, vmax=top, extent=(0, seconds, seconds, 0), aspect="auto")
            name = "all codebooks" if encoder.config.layout == "summed" else f"codebook {sequence + 1}"
            axis.set_title(f"{name}, block {block}", fontsize=8)
            axis.tick_params(labelsize=7)
    axes[-1][0].set_xlabel("looked at, s", fontsize=8)
    axes[0][0].set_ylabel("looking, s", fontsize=8)
    return figure


def draw_restored(objective: Quantising, clip: Path, seconds: float = 4.0) -> Any:
    """Log-mel pictures of a recording's beginning and of what a codec gives back by more and more codebooks."""
    codec = objective.encoder
    sound = whole(audio.read(clip, codec.sample_rate)[: round(seconds * codec.sample_rate)], codec.hop)
    codes, pictures = codec(sound), {"recording": objective.log_mel(sound)}
    for count in counts(codec.config.codebooks):
        latents = codec.quantizer.decode(codes[:, :count])
        pictures["1 codebook" if count == 1 else f"{count} codebooks"] = objective.decoded_log_mel(latents)
    low, high = np.percentile(pictures["recording"].numpy(), [1, 99.9])
    figure, axes = grid(len(pictures), 1, 6.4, 1.4)
    extent = (0, sound.shape[1] / codec.sample_rate, 0, pictures["recording"].shape[1])
    for [axis], (name, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture.mT.numpy(), origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.set_ylabel("mel band", fontsize=8)
    axes[-1][0].set_xlabel("s", fontsize=8)
    return figure
