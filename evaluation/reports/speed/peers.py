"""Models of other packages, with random weights of the shape that they publish.

A peer runs as its package documents it, its front end included. It answers one vector a clip.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hear_audioformer.msm_mae import SIZES, Config, MsmMae

Scene = Callable[[Tensor], Tensor]  # (batch, samples) at 16 kHz -> (batch, dim)
LONGEST = {"transformers": 10.24, "hear21passt": 10.0}  # seconds that a package's model takes; it cuts off the rest


def transformers_ast(device: torch.device, dtype: torch.dtype) -> Scene:
    """transformers' AST-base with its feature extractor, which pads every clip to 10.24 s."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    extractor, model = ASTFeatureExtractor(), ASTModel(ASTConfig()).eval().to(device, dtype)

    @torch.no_grad()
    def scene(audio: Tensor) -> Tensor:
        features = extractor([clip.numpy() for clip in audio.cpu()], sampling_rate=16000, return_tensors="pt")
        result: Tensor = model(features["input_values"].to(device, dtype)).pooler_output.float()
        return result

    return scene


def timm_vit(size: str, frames: int, device: torch.device, dtype: torch.dtype) -> Scene:
    """timm's ViT of MSM-MAE's shape, on the same tokens: our log-mel, the same windows, full ones in one batch."""
    from timm.models.vision_transformer import VisionTransformer

    width, depth, heads = SIZES[size]
    config = Config.of_size(size, frames=frames)
    front = MsmMae(Config.of_size("tiny", frames=frames)).to(device).eval()
    shape: Any = (config.bands, frames)
    model = VisionTransformer(
        shape, 16, 1, 0, "avg", embed_dim=width, depth=depth, num_heads=heads, dynamic_img_size=True
    )
    model = model.eval().to(device, dtype)

    @torch.no_grad()
    def scene(audio: Tensor) -> Tensor:
        logmel = front.features(audio, 0, front.count(audio.shape[1]))
        logmel = torch.nn.functional.pad(logmel, (0, 0, 0, -logmel.shape[1] % config.patch[1])).to(dtype)
        whole = logmel.shape[1] // frames
        windows = [logmel[:, : whole * frames].unflatten(1, (whole, frames)).flatten(0, 1)] if whole else []
        rest = logmel[:, whole * frames :]
        windows += [rest] if rest.shape[1] else []
        tokens = [model.forward_features(window.mT[:, None])[:, 1:] for window in windows]
        rows = [part.unflatten(0, (len(audio), -1)).flatten(1, 2) for part in tokens]
        result: Tensor = torch.cat(rows, dim=1).mean(1).float()
        return result

    return scene


def hear21passt(device: torch.device) -> Scene:
    """hear21passt's base model; it takes 32 kHz, so that the waveform is of twice the samples."""
    from hear21passt.models.passt import get_model
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the network
        net = get_model("passt_s_swa_p16_128_ap476", pretrained=False)
    mel = AugmentMelSTFT(
        n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192,
        htk=False, fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000,
    )  # fmt: skip
    model = PasstBasicWrapper(mel=mel, net=net, mode="embed_only").eval().to(device)

    @torch.no_grad()
    def scene(audio: Tensor) -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()):
            result: Tensor = model.get_scene_embeddings(audio.repeat_interleave(2, 1))
        return result

    return scene


def dasheng(device: torch.device) -> Scene:
    """dasheng's base model."""
    from dasheng.pretrained.pretrained import Dasheng

    model = Dasheng(embed_dim=768, depth=12, num_heads=12, outputdim=None).eval().to(device)

    @torch.no_grad()
    def scene(audio: Tensor) -> Tensor:
        result: Tensor = model(audio)
        return result.mean(1)

    return scene
