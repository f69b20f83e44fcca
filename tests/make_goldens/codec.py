"""EnCodec's encoder and residual quantiser, in transformers' names."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.make_goldens.common import Draws, Weights, save


@dataclass(frozen=True)
class Shape:
    rate: int
    filters: int
    ratios: tuple[int, ...]
    latent: int
    lstm: int
    codes: int
    bandwidths: dict[float, int]  # -> codebooks
    cases: dict[str, tuple[int, int]]  # clips, samples
    shown: tuple[str, tuple[int, ...]]  # of which case which layers' outputs are stored

    @property
    def hop(self) -> int:
        return prod(self.ratios)


SHAPES = {
    "other": Shape(  # 133.3 frames a second, which transformers calls 134
        rate=16000, filters=6, ratios=(3, 5, 8), latent=9, lstm=1, codes=10, bandwidths={0.5: 1, 1.5: 3, 2.0: 5},
        cases={"first": (3, 1080), "a_b": (1, 1201), "tiny": (2, 50), "few": (1, 475)}, shown=("a_b", (1, 4, 10, 12)),
    ),
    "least": Shape(
        rate=8000, filters=2, ratios=(2,), latent=2, lstm=2, codes=2, bandwidths={1.5: 1},
        cases={"x": (1, 9)}, shown=("x", (0,)),
    ),
}  # fmt: skip


def convolution(d: Draws, name: str, outputs: int, inputs: int, kernel: int) -> Weights:
    stem = f"{name}.conv"
    return {
        f"{stem}.bias": d.normal(outputs, std=0.1),
        f"{stem}.parametrizations.weight.original0": 0.8 + 0.4 * d.uniform(outputs, 1, 1).float().double(),
        f"{stem}.parametrizations.weight.original1": d.normal(outputs, inputs, kernel),
    }


def layers(s: Shape) -> Iterator[tuple[str, int, int]]:
    """Kind, channels and stride of every numbered layer."""
    channels = s.filters
    yield "first", channels, 1
    for ratio in s.ratios:
        yield "residual", channels, 1
        yield "elu", channels, 1
        yield "down", channels, ratio
        channels *= 2
    yield "lstm", channels, 1
    yield "elu", channels, 1
    yield "last", channels, 1


def weights(d: Draws, s: Shape) -> Weights:
    p: Weights = {}
    for i, (kind, channels, ratio) in enumerate(layers(s)):
        n = f"encoder.layers.{i}"
        if kind == "first":
            p |= convolution(d, n, channels, 1, 7)
        elif kind == "residual":
            p |= convolution(d, f"{n}.block.1", channels // 2, channels, 3)
            p |= convolution(d, f"{n}.block.3", channels, channels // 2, 1)
            p |= convolution(d, f"{n}.shortcut", channels, channels, 1)
        elif kind == "down":
            p |= convolution(d, n, 2 * channels, channels, 2 * ratio)
        elif kind == "last":
            p |= convolution(d, n, s.latent, channels, 7)
        elif kind == "lstm":
            for layer in range(s.lstm):
                for part in ("weight_ih", "weight_hh"):
                    p[f"{n}.lstm.{part}_l{layer}"] = d.normal(4 * channels, channels, std=channels**-0.5)
                for part in ("bias_ih", "bias_hh"):
                    p[f"{n}.lstm.{part}_l{layer}"] = d.normal(4 * channels, std=0.1)
    return p


def reflected(x: Tensor, left: int, right: int) -> Tensor:
    """Mirrors both ends; what is too short goes on with zeros first, which leave again."""
    extra = max(0, max(left, right) - x.shape[-1] + 1)
    x = torch.cat([x, torch.zeros(*x.shape[:-1], extra, dtype=x.dtype)], dim=-1)
    places = [*range(left, 0, -1), *range(x.shape[-1]), *range(x.shape[-1] - 2, x.shape[-1] - 2 - right, -1)]
    return x[..., places[: len(places) - extra]]


def convolve(x: Tensor, p: Weights, name: str, stride: int = 1) -> Tensor:
    gain, direction = (p[f"{name}.conv.parametrizations.weight.original{i}"] for i in (0, 1))
    weight = gain * direction / direction.square().sum((1, 2), keepdim=True).sqrt()
    length, kernel = x.shape[-1], weight.shape[2]
    extra = ceil((length - stride) / stride) * stride + stride - length
    return F.conv1d(reflected(x, kernel - stride, extra), weight, p[f"{name}.conv.bias"], stride=stride)


def recurrent(x: Tensor, p: Weights, name: str, count: int) -> Tensor:
    given = x
    for layer in range(count):
        w, u, b, c = (p[f"{name}.{part}_l{layer}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        state, cell, found = torch.zeros_like(x[..., 0]), torch.zeros_like(x[..., 0]), []
        for step in x.unbind(-1):
            i, f, g, o = (step @ w.T + b + state @ u.T + c).chunk(4, dim=-1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
            found.append(state)
        x = torch.stack(found, dim=-1)
    return x + given


def encode(x: Tensor, p: Weights, s: Shape) -> list[Tensor]:
    """The outputs of all layers."""
    outputs = []
    for i, (kind, _, ratio) in enumerate(layers(s)):
        n = f"encoder.layers.{i}"
        if kind == "residual":
            inner = convolve(F.elu(x), p, f"{n}.block.1")
            x = convolve(x, p, f"{n}.shortcut") + convolve(F.elu(inner), p, f"{n}.block.3")
        elif kind == "elu":
            x = F.elu(x)
        else:
            x = recurrent(x, p, f"{n}.lstm", s.lstm) if kind == "lstm" else convolve(x, p, n, ratio)
        outputs.append(x)
    return outputs


def quantise(latent: Tensor, tables: list[Tensor]) -> tuple[Tensor, Tensor, float]:
    """Codes (batch, codebooks, frames), what they stand for, the smallest margin between two nearest vectors."""
    residual, codes, margin = latent.mT, [], 1.0
    for table in tables:
        distance = (residual[:, :, None] - table).square().sum(-1)
        two = distance.sort(-1).values[..., :2]
        margin = min(margin, float(((two[..., 1] - two[..., 0]) / two[..., 1]).min()))
        codes.append(distance.argmin(-1))
        residual = residual - table[codes[-1]]
    return torch.stack(codes, dim=1), (latent.mT - residual).mT, margin


def write(folder: Path, kind: str) -> None:
    s, d = SHAPES[kind], Draws(16)
    p, count = weights(d, s), max(s.bandwidths.values())
    tables = [d.normal(s.codes, s.latent, std=0.6 / (1 + k)) for k in range(count)]
    for k, table in enumerate(tables):
        n = f"quantizer.layers.{k}.codebook"
        p |= {f"{n}.embed": table, f"{n}.embed_avg": table, f"{n}.inited": torch.ones(1).double()}
        p[f"{n}.cluster_size"] = torch.ones(s.codes).double()
    arrays, smallest = {f"param/{name}": value for name, value in p.items()}, 1.0
    for name, (clips, samples) in s.cases.items():
        wave = d.sound(clips, samples, s.rate)[:, None]
        outputs = encode(wave, p, s)
        arrays |= {f"{name}_wave": wave, f"{name}_encoder_out": outputs[-1]}
        shown = s.shown[1] if name == s.shown[0] else ()
        arrays |= {f"{name}_encoder_layer{layer}": outputs[layer] for layer in shown}
        for bandwidth, used in s.bandwidths.items():
            codes, quantised, margin = quantise(outputs[-1], tables[:used])
            smallest = min(smallest, margin)
            arrays |= {f"{name}_bw{bandwidth}_codes": codes, f"{name}_bw{bandwidth}_quantised": quantised}
    sizes = {"num_filters": s.filters, "hidden_size": s.latent, "codebook_dim": s.latent, "codebook_size": s.codes}
    config = {
        "encodec": {**sizes, "target_bandwidths": list(s.bandwidths)}, "sampling_rate": s.rate, "hop": s.hop,
        "frame_rate": ceil(s.rate / s.hop), "num_quantizers": count, "bandwidths": list(s.bandwidths),
        "codebooks_per_bandwidth": list(s.bandwidths.values()), "smallest_relative_distance_margin": smallest,
    }  # fmt: skip
    save(folder, "encodec_tiny", config, arrays)
