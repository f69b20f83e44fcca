"""Checks of all input and output: waveforms before they are embedded, embeddings before they are returned.

An error names the clip and says what to do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

LOUDEST = 1e12  # a sample's size up to which no front end's float32 energies overflow; audio lies in [-1, 1]
NAMED = 8  # clips that a message names

Clips = Tensor | np.ndarray | Sequence[Any]


def groups_of(audio: Clips) -> tuple[list[Tensor], torch.device]:
    """Checked clips as float32 tensors (clips, samples), each of one length, and the device that they came from."""
    if isinstance(audio, (Tensor, np.ndarray)):
        group = samples_of(audio, "audio")
        if group.ndim != 2:
            remedy = {1: "; for one clip pass audio[None]", 3: "; average its channels, audio.mean(1)"}
            raise ValueError(f"audio must be (clips, samples), got {tuple(group.shape)}{remedy.get(group.ndim, '')}")
        groups = [group]
    elif isinstance(audio, Sequence) and not isinstance(audio, (str, bytes)):
        groups = [waveform_of(clip, f"clip {number}")[None] for number, clip in enumerate(audio)]
    else:
        raise TypeError(f"audio is a {type(audio).__name__}, not waveforms; hear_audioformer.embed reads files")
    first = 0
    for index, group in enumerate(groups):
        groups[index] = sound(group, first)
        first += len(group)
    return groups, groups[0].device if groups else torch.device("cpu")


def group_of(audio: Clips) -> tuple[Tensor, torch.device]:
    """Checked clips of one length, (clips, samples), and the device that they came from."""
    groups, device = groups_of(audio)
    if len(groups) != 1:
        raise ValueError(f"{len(groups)} clips in a list, (clips, samples) expected: call this for one clip at a time")
    return groups[0], device


def waveform_of(audio: Any, name: str = "audio") -> Tensor:
    """One mono waveform, (samples,), of real floating-point samples."""
    waveform = samples_of(audio, name)
    if waveform.ndim == 2:
        axis = int(waveform.shape[1] < waveform.shape[0])  # channels are fewer than samples
        raise ValueError(f"{name} is {tuple(waveform.shape)}, not one waveform: average channels, audio.mean({axis})")
    if waveform.ndim != 1:
        raise ValueError(f"{name} is {tuple(waveform.shape)}, not one waveform (samples,)")
    return waveform


def samples_of(audio: Any, name: str) -> Tensor:
    """A dense tensor of real floating-point samples, of any shape."""
    if isinstance(audio, np.ndarray) and not audio.dtype.isnative:
        audio = audio.astype(audio.dtype.newbyteorder("="))
    if isinstance(audio, np.ndarray) and any(stride < 0 for stride in audio.strides):
        audio = audio.copy()  # a tensor has no negative strides
    try:
        samples = torch.as_tensor(audio)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is a {type(audio).__name__} that makes no waveform: {error}") from error
    if samples.layout != torch.strided:
        raise TypeError(f"{name} is a sparse tensor ({samples.layout}); pass audio.to_dense()")
    if samples.is_meta:
        raise TypeError(f"{name} is on the meta device, where tensors hold no samples; make it on a CPU or a GPU")
    if samples.is_complex():
        raise TypeError(f"{name} is {samples.dtype}: samples are real numbers; pass audio.real, or the waveform itself")
    if not samples.is_floating_point():
        raise TypeError(f"{name} is {samples.dtype}: scale it to floats in [-1, 1] first, int16 as audio / 32768")
    return samples


def refuse_unsound(embeddings: Tensor) -> Tensor:
    """Embeddings (clips, ...), if all values are finite. The check allocates nothing of their size."""
    if embeddings.numel():
        low, high = embeddings.flatten(1).aminmax(dim=1)
        if bad := _numbers(~(torch.isfinite(low) & torch.isfinite(high))):
            raise ValueError(f"NaN or infinite values in the embedding of clip {bad}: are the model's weights sound?")
    return embeddings


def sound(group: Tensor, first: int = 0, name: str = "clip") -> Tensor:
    """Clips (clips, samples) as float32, if they are not empty and all samples are finite and in range."""
    if group.shape[1] == 0:
        raise ValueError(f"{name} {first} is empty: an embedding needs at least one sample")
    low, high = (group if group.dtype == torch.float64 else group.float()).aminmax(dim=1)
    if bad := _numbers(~(torch.isfinite(low) & torch.isfinite(high)), first):
        raise ValueError(f"NaN or infinite samples in {name} {bad}")
    if bad := _numbers(torch.maximum(-low, high) > LOUDEST, first):
        peak = float(torch.maximum(-low, high).max())
        raise ValueError(f"samples up to {peak:.3g} in {name} {bad}: scale audio to [-1, 1]")
    return group.float()


def _numbers(marked: Tensor, first: int = 0) -> str:
    """The numbers of the marked clips, as text."""
    return ", ".join([str(number) for number, bad in enumerate(marked.tolist(), first) if bad][:NAMED])
