"""MSM-MAE: log-mel, encoder, the authors' windows and M2D's, masked autoencoding with gradients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.make_goldens.common import Draws, Weights, block, draw_block, linear, norm, save


@dataclass(frozen=True)
class Shape:
    rate: int
    bands: int
    frames: int
    patch: tuple[int, int]
    width: int
    depth: int
    heads: int
    mlp_ratio: float
    decoder: tuple[int, int, int]  # width, depth, heads
    plane: bool  # whether the decoder's table is 2-D
    cls: bool
    batch: int
    ratio: float
    pixels: bool  # whether the loss normalises patches
    lengths: dict[str, int]
    stats: tuple[float, float]
    grads: tuple[str, ...] = ("patch_embed.proj.weight", "mask_token", "norm.weight", "decoder_pred.bias")

    @property
    def grid(self) -> tuple[int, int]:
        return self.bands // self.patch[0], self.frames // self.patch[1]


SHAPES = {
    "other": Shape(
        rate=32000, bands=64, frames=72, patch=(16, 8), width=44, depth=2, heads=4, mlp_ratio=60 / 44,
        decoder=(18, 1, 3), plane=False, cls=True, batch=3, ratio=0.6, pixels=True, stats=(-6.0, 3.5),
        lengths={"a": 1001, "whole": 71 * 320 + 17, "b": 9999, "two_windows": 143 * 320, "ragged": 54321},
    ),
    "least": Shape(
        rate=16000, bands=80, frames=48, patch=(80, 4), width=8, depth=1, heads=1, mlp_ratio=4,
        decoder=(12, 1, 1), plane=True, cls=False, batch=1, ratio=0.75, pixels=False, stats=(-7.1, 4.2),
        lengths={"only": 47 * 160},
    ),
}  # fmt: skip


def mel_basis(rate: int, n_fft: int, bands: int, low: float) -> np.ndarray:
    """Slaney's scale, triangles of unit area."""

    def to_mel(f: float) -> float:
        return f * 3 / 200 if f < 1000 else 15 + np.log(f / 1000) * 27 / np.log(6.4)

    def to_hertz(m: float) -> float:
        return m * 200 / 3 if m < 15 else 1000 * np.exp(np.log(6.4) / 27 * (m - 15))

    edges = [to_hertz(m) for m in np.linspace(to_mel(low), to_mel(rate / 2), bands + 2)]
    rows = []
    for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False):
        bins = np.arange(n_fft // 2 + 1) * rate / n_fft
        triangle = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle))
        rows.append(np.maximum(triangle, 0) * 2 / (right - left))
    return np.stack(rows)


def log_mel(audio: Tensor, s: Shape) -> Tensor:
    """(batch, samples) -> (batch, 1, bands, frames)."""
    n_fft, hop = s.rate // 40, s.rate // 100
    padded = np.pad(audio.numpy(), ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    count = audio.shape[1] // hop + 1
    frames = np.stack([padded[:, k * hop : k * hop + n_fft] * window for k in range(count)], axis=1)
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = power @ mel_basis(s.rate, n_fft, s.bands, 50.0).T
    return torch.from_numpy(np.log(mel + 2.0**-23)).mT[:, None]


def waves(position: float, width: int) -> list[float]:
    rates = [10000 ** (-i / (width / 2)) for i in range(width // 2)]
    return [np.sin(position * r) for r in rates] + [np.cos(position * r) for r in rates]


def table_2d(grid: tuple[int, int], width: int, cls: bool) -> Tensor:
    rows = [waves(t, width // 2) + waves(f, width // 2) for f in range(grid[0]) for t in range(grid[1])]
    return torch.tensor([[0.0] * width] * cls + rows, dtype=torch.float64).float().double()[None]


def table_1d(count: int, width: int, cls: bool) -> Tensor:
    rows = []
    for n in range(count):
        angles = [n / 10000 ** (2 * i / width) for i in range(width // 2)]
        rows.append([f(a) for a in angles for f in (np.sin, np.cos)])
    return torch.tensor([[0.0] * width] * cls + rows, dtype=torch.float64).float().double()[None]


def weights(d: Draws, s: Shape) -> Weights:
    narrow, depth, _ = s.decoder
    pixels = s.patch[0] * s.patch[1]
    count = s.grid[0] * s.grid[1]
    p = {"cls_token": d.normal(1, 1, s.width, std=0.5)} if s.cls else {}
    p |= {"pos_embed": table_2d(s.grid, s.width, s.cls), "mask_token": d.normal(1, 1, narrow, std=0.5)}
    p["decoder_pos_embed"] = table_2d(s.grid, narrow, s.cls) if s.plane else table_1d(count, narrow, s.cls)
    p["patch_embed.proj.weight"] = d.normal(s.width, 1, *s.patch, std=pixels**-0.5)
    p["patch_embed.proj.bias"] = d.normal(s.width, std=0.1)
    for i in range(s.depth):
        p |= draw_block(d, f"blocks.{i}", s.width, int(s.width * s.mlp_ratio + 1e-6), split=True)
    p |= {**d.norm("norm", s.width), **d.linear("decoder_embed", narrow, s.width)}
    for i in range(depth):
        p |= draw_block(d, f"decoder_blocks.{i}", narrow, int(narrow * s.mlp_ratio + 1e-6), split=True)
    return {**p, **d.norm("decoder_norm", narrow), **d.linear("decoder_pred", pixels, narrow)}


def embed(x: Tensor, p: Weights, s: Shape) -> Tensor:
    """(batch, 1, bands, frames) -> patches, (batch, rows * columns, width)."""
    return F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=s.patch).flatten(2).mT


def layers(x: Tensor, p: Weights, s: Shape) -> list[Tensor]:
    """Tokens of every block of (batch, 1, bands, frames), the last normalised; positions cropped in every row."""
    columns = x.shape[3] // s.patch[1]
    places = p["pos_embed"][0, int(s.cls) :].reshape(*s.grid, -1)[:, :columns].flatten(0, 1)
    tokens = embed(x, p, s) + places
    if s.cls:
        tokens = torch.cat([p["cls_token"].expand(len(x), 1, -1) + p["pos_embed"][:, :1], tokens], dim=1)
    outputs = []
    for i in range(s.depth):
        tokens = block(tokens, p, f"blocks.{i}", s.heads)
        outputs.append(tokens)
    return [*outputs[:-1], norm(tokens, p, "norm")]


def frames_of(tokens: Tensor, s: Shape) -> Tensor:
    """Tokens -> (batch, columns, rows * width)."""
    patches = tokens[:, int(s.cls) :]
    return patches.reshape(len(patches), s.grid[0], -1, s.width).transpose(1, 2).flatten(2)


def encode(x: Tensor, p: Weights, s: Shape, to: int) -> Tensor:
    """Normalised log-mel, filled up with zeros to a multiple of ``to``, window by window."""
    total = x.shape[3]
    x = F.pad(x, (0, -total % to))
    parts = [frames_of(layers(part, p, s)[-1], s) for part in x.split(s.frames, dim=3)]
    return torch.cat(parts, dim=1)[:, : -(-total // s.patch[1])]


def autoencode(x: Tensor, p: Weights, s: Shape, noise: Tensor) -> dict[str, Tensor]:
    _, depth, heads = s.decoder
    count = s.grid[0] * s.grid[1]
    keep = int(count * (1 - s.ratio))
    order = noise.argsort(1)
    restore = order.argsort(1)
    mask = (restore >= keep).double()
    tokens = embed(x, p, s) + p["pos_embed"][:, int(s.cls) :]
    tokens = torch.stack([row[places[:keep]] for row, places in zip(tokens, order, strict=True)])
    if s.cls:
        tokens = torch.cat([p["cls_token"].expand(len(x), 1, -1), tokens], dim=1)
    for i in range(s.depth):
        tokens = block(tokens, p, f"blocks.{i}", s.heads)
    latent = norm(tokens, p, "norm")
    y = linear(latent, p, "decoder_embed")
    first, rest = y[:, : int(s.cls)], y[:, int(s.cls) :]
    rest = torch.cat([rest, p["mask_token"].expand(len(x), count - keep, -1)], dim=1)
    rest = torch.stack([row[places] for row, places in zip(rest, restore, strict=True)])
    y = torch.cat([first, rest], dim=1) + p["decoder_pos_embed"]
    for i in range(depth):
        y = block(y, p, f"decoder_blocks.{i}", heads)
    prediction = linear(norm(y, p, "decoder_norm"), p, "decoder_pred")[:, int(s.cls) :]
    (gf, gt), (ph, pw) = s.grid, s.patch
    target = x.reshape(len(x), gf, ph, gt, pw).permute(0, 1, 3, 2, 4).reshape(len(x), count, -1)
    mixed = target * (1 - mask[..., None]) + prediction * mask[..., None]
    picture = mixed.reshape(len(x), gf, gt, ph, pw).permute(0, 1, 3, 2, 4).reshape(x.shape)
    normed = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    plain, pixel = (((prediction - t) ** 2).mean(-1).mul(mask).sum() / mask.sum() for t in (target, normed))
    return {
        "mask": mask, "ids_restore": restore, "latent": latent, "pred": prediction, "target_patches": target,
        "reconstruction": picture, "loss": pixel if s.pixels else plain, "loss_plain": plain, "loss_norm_pix": pixel,
    }  # fmt: skip


def of_length(name: str, samples: int, d: Draws, p: Weights, s: Shape) -> dict[str, Tensor]:
    audio = d.sound(s.batch, samples, s.rate)
    mel = log_mel(audio, s)
    mean, std = mel.mean(), mel.std()
    normal, alone, fixed = (mel - mean) / std, mel[:1], (mel - s.stats[0]) / s.stats[1]
    frames = encode(normal, p, s, s.frames)
    window = F.pad(normal[..., : s.frames], (0, max(0, s.frames - mel.shape[3])))
    found = {
        "audio": audio, "logmel": mel, "normalized": normal, "norm_mean_std": torch.stack([mean, std]),
        "encoder_tokens_first_chunk": layers(window, p, s)[-1], "frame_embeddings": frames,
        "scene_embeddings": frames.mean(1), "frame_embeddings_fixed_stats": encode(fixed, p, s, s.frames),
        "frame_embeddings_first_clip_alone": encode((alone - alone.mean()) / alone.std(), p, s, s.frames),
    }  # fmt: skip
    arrays = {f"{name}/{key}": value for key, value in found.items()}
    return {**arrays, f"m2d_loader/{name}_frame_embeddings": encode(fixed, p, s, s.patch[1])}


def config_of(s: Shape) -> dict:
    narrow, depth, heads = s.decoder
    count = s.grid[0] * s.grid[1]
    return {
        "sample_rate": s.rate, "n_mels": s.bands, "input_size": [s.bands, s.frames], "patch_size": list(s.patch),
        "embed_dim": s.width, "depth": s.depth, "num_heads": s.heads, "decoder_embed_dim": narrow,
        "decoder_depth": depth, "decoder_num_heads": heads, "mlp_ratio": s.mlp_ratio, "use_cls_token": s.cls,
        "decoder_pos_embed_2d": s.plane, "norm_pix_loss": s.pixels, "mask_ratio": s.ratio,
        "audio_lengths": s.lengths, "batch": s.batch, "num_patches": count, "grid_size": list(s.grid),
        "len_keep": int(count * (1 - s.ratio)), "fixed_stats": list(s.stats),
    }  # fmt: skip


def write(folder: Path, kind: str) -> None:
    s, d = SHAPES[kind], Draws(11)
    p = weights(d, s)
    arrays = {f"weights/{name}": value for name, value in p.items()}
    for name, samples in s.lengths.items():
        arrays |= of_length(name, samples, d, p, s)
    whole = next(name for name in s.lengths if arrays[f"{name}/logmel"].shape[3] == s.frames)
    x = arrays[f"{whole}/normalized"]
    bare = Shape(**{**vars(s), "cls": False})
    alone = {**p, "pos_embed": p["pos_embed"][:, int(s.cls) :]}
    tokens = layers(x, alone, bare)[-1]
    arrays |= {
        f"{whole}/patch_embed_first_chunk": embed(x, p, s),
        f"layers/{whole}_encode_lms_return_layers": torch.stack([frames_of(out, s) for out in layers(x, p, s)]),
        f"nocls/{whole}_encoder_tokens": tokens,
        f"nocls/{whole}_frame_embeddings": frames_of(tokens, bare),
        "frontend/mel_basis": torch.from_numpy(mel_basis(s.rate, s.rate // 40, s.bands, 50.0)),
        "mae/input": x,
        "mae/noise": d.uniform(s.batch, s.grid[0] * s.grid[1]),
    }
    for tensor in p.values():
        tensor.requires_grad_()
    made = autoencode(x, p, s, arrays["mae/noise"])
    made["loss"].backward()
    arrays |= {f"mae/{key}": value for key, value in made.items()}
    arrays |= {f"mae/grad/{name}": p[name].grad for name in (*s.grads, *(["cls_token"] if s.cls else []))}
    save(folder, "msm_mae", config_of(s), arrays)
