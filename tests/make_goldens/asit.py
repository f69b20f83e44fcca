"""ASiT: filter bank, network, corruption, losses, gradients, an optimiser's step, schedules."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.make_goldens.common import Draws, Weights, block, draw_block, gelu, linear, norm, save

LOSSES = {
    "student_temp": 0.1, "warmup_teacher_temp": 0.04, "teacher_temp": 0.07, "center_momentum": 0.9,
    "data_mean": -4.2677393, "data_std": 4.5689974, "step_lr": 0.002, "step_wd": 0.2, "step_momentum": 0.7,
    "drop_perc": 0.6, "drop_align": 1, "sched_lr": 0.001,
}  # fmt: skip
GRADS = ("backbone.pos_embed", "backbone.blocks.0.attn.qkv.weight", "head_cls.data_layer.weight_v",
         "head_recons.convTrans.weight", "backbone.norm.bias")  # fmt: skip


@dataclass(frozen=True)
class Shape:
    rate: int
    seconds: float
    bands: int
    frames: int
    patch: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float
    cls: tuple[int, int, int]  # hidden, bottleneck, outputs
    patches: int  # outputs for patch tokens
    paint: tuple[int, int]  # hidden, bottleneck
    clips: int
    samples: int
    short: int
    others: tuple[int, ...]
    align: int
    warm: int  # epochs over which the teacher's temperature rises
    epoch: int  # of the losses
    clip: float
    scaled: bool  # whether prototypes have other magnitudes than 1
    schedule: tuple[int, int, int]  # epochs, steps of each, epochs of warm-up

    @property
    def grid(self) -> tuple[int, int]:
        return self.frames // self.patch, self.bands // self.patch


SHAPES = {
    "other": Shape(  # a crop of 0.45 s has 43 frames of 56
        rate=16000, seconds=0.45, bands=48, frames=56, patch=8, width=20, depth=2, heads=5, mlp_ratio=3,
        cls=(30, 10, 14), patches=9, paint=(22, 7), clips=3, samples=9000, short=3000, others=(24, 75, 64), align=8,
        warm=3, epoch=5, clip=0.02, scaled=True, schedule=(4, 5, 1),
    ),
    "least": Shape(
        rate=32000, seconds=0.5, bands=16, frames=32, patch=16, width=8, depth=1, heads=1, mlp_ratio=4,
        cls=(12, 6, 5), patches=4, paint=(8, 4), clips=2, samples=16000, short=401, others=(), align=4,
        warm=0, epoch=0, clip=3.0, scaled=False, schedule=(3, 1, 1),
    ),
}  # fmt: skip


def filter_bank(audio: Tensor, rate: int, bands: int) -> Tensor:
    """Kaldi's, of waveforms without their mean: (batch, frames, bands)."""
    audio = audio - audio.mean(1, keepdim=True)
    length, hop = rate // 40, rate // 100
    size = 1 << (length - 1).bit_length()
    starts = range(0, audio.shape[1] - length + 1, hop)
    frames = np.stack([audio[:, at : at + length].numpy() for at in starts], axis=1)
    frames = frames - frames.mean(-1, keepdims=True)
    before = np.concatenate([frames[..., :1], frames[..., :-1]], axis=-1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * window, n=size)) ** 2

    def mel(f: Any) -> Any:
        return 1127 * np.log(1 + f / 700)

    edges = np.linspace(mel(20.0), mel(rate / 2), bands + 2)
    bins = mel(np.arange(size // 2 + 1) * rate / size)
    rows = [
        np.maximum(0, np.minimum((bins - a) / (b - a), (c - bins) / (c - b)))
        for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    return torch.from_numpy(np.log(np.maximum(power @ np.stack(rows).T, 2.0**-23)))


def whole(bank: Tensor, s: Shape) -> Tensor:
    """Cut to a window's frames, or filled up with rows of zeros."""
    return F.pad(bank[:, : s.frames], (0, 0, 0, max(0, s.frames - bank.shape[1])))


def normalised(bank: Tensor) -> Tensor:
    return (bank - LOSSES["data_mean"]) / (2 * LOSSES["data_std"])


def network(d: Draws, s: Shape) -> Weights:
    hidden, narrow, outputs = s.cls
    wide, painted = s.paint
    p = {"backbone.cls_token": d.normal(1, 1, s.width, std=0.5)}
    p["backbone.pos_embed"] = d.normal(1, 1 + s.grid[0] * s.grid[1], s.width, std=0.5)
    p["backbone.patch_embed.proj.weight"] = d.normal(s.width, 1, s.patch, s.patch, std=1 / s.patch)
    p["backbone.patch_embed.proj.bias"] = d.normal(s.width, std=0.1)
    for i in range(s.depth):
        p |= draw_block(d, f"backbone.blocks.{i}", s.width, int(s.width * s.mlp_ratio))
    p |= d.norm("backbone.norm", s.width)
    for name, sizes in (
        ("head_cls", (s.width, hidden, hidden, narrow)),
        ("head_recons", (s.width, wide, wide, painted)),
    ):
        for number, (inputs, out) in enumerate(pairwise(sizes)):
            p |= d.linear(f"{name}.mlp.{2 * number}", out, inputs)
        if name == "head_cls":
            for kind, count in (("cls", outputs), ("data", s.patches)):
                one = torch.ones(count, 1, dtype=torch.float64)
                p[f"head_cls.{kind}_layer.weight_g"] = 1 + 0.5 * d.uniform(count, 1) if s.scaled else one
                p[f"head_cls.{kind}_layer.weight_v"] = d.normal(count, narrow)
    p["head_recons.convTrans.weight"] = d.normal(painted, 1, s.patch, s.patch, std=painted**-0.5)
    p["head_recons.convTrans.bias"] = d.normal(1, std=0.1)
    return {name: value.float().double() for name, value in p.items()}


def positions(p: Weights, s: Shape, columns: int) -> Tensor:
    """Of the class token and of so many columns, stretched."""
    table = p["backbone.pos_embed"]
    if columns == s.grid[0]:
        return table
    image = table[:, 1:].reshape(1, *s.grid, -1).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=(columns, s.grid[1]), mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], image.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def tokens(x: Tensor, p: Weights, s: Shape, note: Callable[[str, Tensor], None] = lambda *_: None) -> Tensor:
    """Pictures (batch, 1, frames, bands) -> tokens behind the last norm."""
    x = F.conv2d(x, p["backbone.patch_embed.proj.weight"], p["backbone.patch_embed.proj.bias"], stride=s.patch)
    columns, x = x.shape[2], x.flatten(2).mT
    note("patch_embed", x)
    x = torch.cat([p["backbone.cls_token"].expand(len(x), 1, -1), x], dim=1) + positions(p, s, columns)
    note("tokens_in", x)
    for i in range(s.depth):
        x = block(x, p, f"backbone.blocks.{i}", s.heads)
        note(f"block{i}", x)
    return norm(x, p, "backbone.norm")


def mlp(x: Tensor, p: Weights, name: str, last: bool) -> Tensor:
    for number in (0, 2, 4):
        x = linear(x, p, f"{name}.mlp.{number}")
        x = gelu(x) if number < 4 or last else x
    return x


def project(x: Tensor, p: Weights) -> tuple[Tensor, Tensor]:
    """Tokens -> logits of class tokens, and of all patch tokens one after another."""
    unit = mlp(x, p, "head_cls", last=False)
    unit = unit / unit.norm(dim=-1, keepdim=True)
    tables = []
    for kind in ("cls", "data"):
        v = p[f"head_cls.{kind}_layer.weight_v"]
        tables.append(p[f"head_cls.{kind}_layer.weight_g"] * v / v.norm(dim=1, keepdim=True))
    return unit[:, 0] @ tables[0].T, (unit[:, 1:] @ tables[1].T).flatten(0, 1)


def painted(x: Tensor, p: Weights, s: Shape) -> Tensor:
    x = mlp(x[:, 1:], p, "head_recons", last=True)
    image = x.mT.unflatten(2, (-1, s.grid[1]))
    return F.conv_transpose2d(image, p["head_recons.convTrans.weight"], p["head_recons.convTrans.bias"], stride=s.patch)


def surprise(wanted: Tensor, answer: Tensor) -> Tensor:
    return -(wanted * (answer / LOSSES["student_temp"]).log_softmax(-1)).sum(-1).mean()


def temperature(s: Shape, epoch: int) -> float:
    if epoch >= s.warm:
        return LOSSES["teacher_temp"]
    return float(np.linspace(LOSSES["warmup_teacher_temp"], LOSSES["teacher_temp"], s.warm)[epoch])


def replay(d: Draws, size: tuple[int, int], align: int) -> tuple[float, Tensor, Tensor]:
    """Blocks drawn until enough is covered: the share, the raw draws, the mask."""
    share = 0.5 + 0.1 * float(d.uniform(1))
    mask, draws = torch.zeros(size, dtype=torch.uint8), []
    longest = [max(align + 1, int(0.3 * n)) for n in size]
    while mask.sum() < share * mask.numel():
        row, column = (d.integer(0, n - align) for n in size)
        height, width = (d.integer(align, n) for n in longest)
        draws.append([row, column, height, width])
        r, c = row // align * align, column // align * align
        h = align * round(min(height, size[0] - r) / align)
        w = align * round(min(width, size[1] - c) / align)
        mask[r : r + h, c : c + w] = 1
    return share, torch.tensor(draws, dtype=torch.int32), mask


def corrupt(d: Draws, clean: Tensor, s: Shape) -> tuple[Tensor, Tensor]:
    """(views, clips, 1, frames, bands): odd clips are replaced from the one before, others dropped."""
    seen, masks = clean.clone(), torch.zeros(clean.shape, dtype=torch.uint8)
    for view in range(2):
        for clip in range(s.clips):
            mask = replay(d, (s.frames, s.bands), 1)[2].bool()
            other = clean[view, clip - 1, 0] if clip % 2 else torch.zeros_like(clean[view, clip, 0])
            seen[view, clip, 0] = torch.where(mask, other, clean[view, clip, 0])
            masks[view, clip, 0] = mask
    return seen.float().double(), masks


def of_sound(d: Draws, s: Shape) -> dict[str, Tensor]:
    wave = d.sound(s.clips, s.samples, s.rate) + 0.02  # a mean to be taken off
    wave = wave.float().double()
    samples = round(s.seconds * s.rate)
    starts = torch.tensor([[d.integer(0, s.samples - samples + 1) for _ in range(s.clips)] for _ in range(2)])
    crops = torch.stack([w[a : a + samples] for row in starts.tolist() for w, a in zip(wave, row, strict=True)])
    bank = whole(filter_bank(crops, s.rate, s.bands), s).unflatten(0, (2, s.clips))
    short = d.sound(1, s.short, s.rate)
    filled = whole(filter_bank(F.pad(short, (0, samples - s.short)), s.rate, s.bands), s)
    return {
        "in/wave": wave, "in/crop_start": starts, "in/short_wave": short, "out/fbank": bank,
        "out/fbank_uncut": filter_bank(wave[:1], s.rate, s.bands)[0], "out/normalised": normalised(bank)[:, :, None],
        "out/short_normalised": normalised(filled),
    }  # fmt: skip


class Step:
    """Losses of two rounds, gradients of the first, and where one step takes both networks."""

    def __init__(self, student: Weights, teacher: Weights, arrays: dict[str, Any], s: Shape) -> None:
        self.student, self.teacher, self.s = student, teacher, s
        seen, clean = arrays["in/corrupted"].flatten(0, 1), arrays["out/normalised"].flatten(0, 1).float().double()
        mask = arrays["in/mask"].flatten(0, 1)
        out: dict[str, Tensor] = {}
        out["student_tokens"] = tokens(seen, student, s, lambda name, x: out.update({f"student_{name}": x}))
        out["teacher_tokens"] = tokens(clean, teacher, s)
        for which, p in (("student", student), ("teacher", teacher)):
            out[f"{which}_cls"], out[f"{which}_data"] = project(out[f"{which}_tokens"], p)
        out["student_recons"] = painted(out["student_tokens"], student, s)
        out["loss_recons"] = ((out["student_recons"] - clean).abs() * mask).sum() / mask.sum()
        self.out = out
        self.rounds()

    def rounds(self) -> None:
        centres = {kind: torch.zeros(1, self.out[f"teacher_{kind}"].shape[1]).double() for kind in ("cls", "data")}
        warmth = temperature(self.s, self.s.epoch)
        for number in (1, 2):
            wanted = {}
            for kind, centre in centres.items():
                logits = self.out[f"teacher_{kind}"].detach()
                wanted[kind] = ((logits - centre) / warmth).softmax(-1)
                momentum = LOSSES["center_momentum"]
                centres[kind] = momentum * centre + (1 - momentum) * logits.mean(0, keepdim=True)
                self.out[f"center_{kind}_after{number}"] = centres[kind]
            (one, two), (a, b) = wanted["cls"].chunk(2), self.out["student_cls"].chunk(2)
            self.out[f"loss_cls_step{number}"] = (surprise(one, b) + surprise(two, a)) / 2
            self.out[f"loss_data_step{number}"] = surprise(wanted["data"], self.out["student_data"])
        total = self.out["loss_cls_step1"] + self.out["loss_data_step1"] + 2 * self.out["loss_recons"]
        self.out["loss_total_step1"] = total

    def learn(self) -> list[str]:
        """Gradients, clipped for each tensor by itself, one step of AdamW, the teacher's move; names of the learnt."""
        learnt = {name: p for name, p in self.student.items() if p.requires_grad}
        self.out["loss_total_step1"].backward()
        self.out["grad_norms"] = torch.stack([p.grad.norm() for p in learnt.values()])
        self.out |= {f"grad/{name}": self.student[name].grad for name in GRADS}
        clipped, after = [], {name: p.detach() for name, p in self.student.items()}
        for name, p in learnt.items():
            g = p.grad * min(1.0, self.s.clip / (float(p.grad.norm()) + 1e-6))
            clipped.append(g.norm())
            decay = 0.0 if name.endswith(".bias") or p.ndim == 1 else LOSSES["step_wd"]
            after[name] = p.detach() * (1 - LOSSES["step_lr"] * decay) - LOSSES["step_lr"] * g / (g.abs() + 1e-8)
        self.out["grad_norms_clipped"] = torch.stack(clipped)
        for name in GRADS:
            share = LOSSES["step_momentum"]
            self.out[f"after_step/student/{name}"] = after[name]
            self.out[f"after_step/teacher/{name}"] = share * self.teacher[name] + (1 - share) * after[name]
        return list(learnt)


def schedules(s: Shape, epochs: int) -> dict[str, np.ndarray]:
    count, each, warm = s.schedule
    steps, first = count * each, warm * each

    def half_cosine(start: float, end: float, n: int) -> np.ndarray:
        return end + 0.5 * (start - end) * (1 + np.cos(np.pi * np.arange(n) / n))

    rise = np.linspace(0, LOSSES["sched_lr"], first)
    return {
        "sched_lr": np.concatenate([rise, half_cosine(LOSSES["sched_lr"], 1e-6, steps - first)]),
        "sched_wd": half_cosine(0.04, 0.4, steps),
        "sched_momentum": half_cosine(0.99, 1.0, steps),
        "sched_teacher_temp": np.array([temperature(s, epoch) for epoch in range(epochs)]),
    }


def config_of(s: Shape, epochs: int, learnt: list[str]) -> dict[str, Any]:
    return {
        **LOSSES, "mlp_ratio": s.mlp_ratio, "secs_per_crop": s.seconds, "sample_rate": s.rate,
        "num_mel_bins": s.bands, "num_frames": s.frames, "wave_samples": s.samples, "short_samples": s.short,
        "patch_size": s.patch, "embed_dim": s.width, "depth": s.depth, "num_heads": s.heads,
        "cls_hidden_dim": s.cls[0], "cls_bottleneck_dim": s.cls[1], "out_dim_cls": s.cls[2],
        "out_dim_data": s.patches, "rec_hidden_dim": s.paint[0], "rec_bottleneck_dim": s.paint[1],
        "random_weight_g": s.scaled, "warmup_teacher_temp_epochs": s.warm, "epochs": epochs, "loss_epoch": s.epoch,
        "step_clip": s.clip, "other_frames": list(s.others), "sched_epochs": s.schedule[0],
        "sched_niter": s.schedule[1], "sched_warmup": s.schedule[2], "grad_param_names": learnt,
        "gmml_alignp": s.align,
    }  # fmt: skip


def write(folder: Path, kind: str) -> None:
    s, d, epochs = SHAPES[kind], Draws(14), 7
    student, teacher = network(d, s), network(d, s)
    arrays: dict[str, Any] = {f"student/{name}": value for name, value in student.items()}
    arrays |= {f"teacher/{name}": value for name, value in teacher.items()} | of_sound(d, s)
    arrays["in/corrupted"], arrays["in/mask"] = corrupt(d, arrays["out/normalised"], s)
    for name, align in (("align1", 1), ("alignp", s.align)):
        share, draws, mask = replay(d, (s.frames, s.bands), align)
        arrays |= {f"gmml/{name}_fraction": np.float64(share), f"gmml/{name}_draws": draws, f"gmml/{name}_mask": mask}
    for frames in s.others:
        x = d.normal(2, 1, frames, s.bands)
        found = tokens(x, student, s)
        arrays |= {f"in/other_{frames}": x, f"out/other_{frames}_tokens": found}
        arrays[f"out/other_{frames}_pos_embed"] = positions(student, s, frames // s.patch)
        arrays[f"out/other_{frames}_recons"] = painted(found, student, s)
    for name, value in student.items():
        value.requires_grad_(not name.endswith("weight_g"))
    step = Step(student, teacher, arrays, s)
    learnt = step.learn()
    arrays |= {f"out/{name}": value for name, value in {**step.out, **schedules(s, epochs)}.items()}
    save(folder, "asit", config_of(s, epochs, learnt), arrays)
