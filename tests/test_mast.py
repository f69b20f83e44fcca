"""MAST's stages, sizes, frames and refusals: what the golden file, which holds single blocks, cannot show."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hear_audioformer.embedder import Embedder
from hear_audioformer.mast import Config, Mast, build
from hear_audioformer.mast.block import PooledBlock, Shape, grouped, pooled_size
from hear_audioformer.mast.positions import Positions, Size

ENCODER_MILLIONS = {"nano": 1.22, "tiny": 10.52, "small": 34.27, "base": 48.70, "base24": 50.97}


def small(**changes: Any) -> Mast:
    """Random, with weights large enough that every part of it shows."""
    torch.manual_seed(0)
    encoder = build({"width": 16, "depths": (1, 1, 2, 1), "frames": 256, **changes}).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def features(frames: int, clips: int = 1) -> Tensor:
    return torch.randn(clips, frames, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", ENCODER_MILLIONS)
def test_sizes(size: str) -> None:
    with torch.device("meta"):
        encoder = Mast(Config.of_size(size))
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert round(count / 1e6, 2) == ENCODER_MILLIONS[size]
    assert encoder.dim == 15 * encoder.config.width


def test_stages_of_the_base_model() -> None:
    """The table of the stages: grids, strides, kernels, and the keys that a transition's blocks still see."""
    shapes = Config().shapes()
    firsts = [shapes[number] for number in (0, 2, 4, 19)]
    assert len(shapes) == 22
    assert [shape.grid for shape in firsts] == [(16, 256), (16, 256), (16, 128), (8, 64)]
    assert [shape.query_stride for shape in firsts] == [(1, 1), (1, 2), (2, 2), (2, 2)]
    assert [shape.query_kernel for shape in firsts] == [(3, 3), (1, 3), (3, 3), (3, 3)]
    assert [shape.key_stride for shape in firsts] == [(4, 4), (4, 2), (2, 1), (1, 1)]
    assert [(shape.dim, shape.out, shape.heads) for shape in firsts] == [
        (96, 96, 1),
        (96, 192, 2),
        (192, 384, 4),
        (384, 768, 8),
    ]
    assert [keys(shape) for shape in (shapes[0], shapes[2], shapes[3])] == [256, 512, 256]
    for shape in (shapes[3], shapes[5], shapes[20]):  # blocks that only follow
        assert (shape.query_stride, shape.query_kernel, shape.key_kernel) == ((1, 1), (3, 3), (3, 3))
    assert pooled_size(shapes[21].grid, (1, 1)) == (4, 32)


def keys(shape: Shape) -> int:
    frequency, time = pooled_size(shape.grid, shape.key_stride)
    return frequency * time


@pytest.mark.parametrize("token", [2, 3, 5])
def test_an_impulse_lights_up_every_stage_at_its_own_time(token: int) -> None:
    """A frame under the centre of a token of the last stage, hence of one of every stage: all peak at that time.

    Interpolation of centred cells, as images are resized, would come 20, 60 and 140 ms late.
    """
    encoder = small()
    quiet = features(256)
    loud = quiet.clone()
    loud[:, 32 * token] += 5.0
    with torch.no_grad():
        before, after = (encoder.encode_layers(given, [1, 2, 3, 4]) for given in (quiet, loud))
    for stage, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        change = (new - old).norm(dim=-1)[0]
        assert change.argmax() == 8 * token
        if stage > 1:  # between tokens: as near to the peak on either side
            assert change[8 * token - 1] == pytest.approx(float(change[8 * token + 1]), rel=0.3)


def test_time_stamps_are_the_centres_of_tokens() -> None:
    """Token j of the first stage is centred on frame 4 j, whose 25 ms are centred on 12.5 ms."""
    model = Embedder(small())
    assert model.hop_ms == 40
    _, times = model.timestamps(torch.zeros(1, 16000))
    assert times[0].tolist() == [12.5 + 40 * j for j in range(25)]
    _, fine = Embedder(small(), hop_ms=10).timestamps(torch.zeros(1, 16000))
    assert fine[0, :3].tolist() == [2.5, 12.5, 22.5]


def test_frames_are_lines_between_the_tokens_of_each_stage() -> None:
    encoder, given = small(), features(77)
    with torch.no_grad():
        stages, frames = encoder.stages(given), encoder.encode_layers(given, [1, 2, 3, 4])
        together = encoder.encode(given)
    assert [tuple(stage.shape[1:]) for stage in stages] == [(16, 20, 16), (16, 10, 32), (8, 5, 64), (4, 3, 128)]
    assert torch.equal(together, torch.cat(frames, dim=-1))
    for step, stage, frame in zip((1, 2, 4, 8), stages, frames, strict=True):
        tokens = stage.mean(1)
        assert frame.shape == (1, 20, tokens.shape[2])
        for i in range(20):
            left, share = divmod(i, step)
            right = min(left + 1, tokens.shape[1] - 1)
            wanted = tokens[:, left] * (1 - share / step) + tokens[:, right] * (share / step)
            assert torch.allclose(frame[:, i], wanted, atol=1e-6)


def test_scene_is_the_mean_over_the_tokens_of_each_stage() -> None:
    encoder = small()
    audio = 0.1 * torch.randn(2, 20000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stages = encoder.stages(encoder.features(audio, 0, encoder.count(20000)))
    means = [stage.mean((1, 2)) for stage in stages]
    assert torch.allclose(Embedder(encoder).scene(audio), torch.cat(means, dim=1), atol=1e-5)
    assert torch.allclose(Embedder(encoder, layers=[-1]).scene(audio), means[3], atol=1e-5)
    assert not torch.allclose(Embedder(encoder, pool="mean").scene(audio), torch.cat(means, dim=1), atol=1e-3)


def with_rows(encoder: Mast, rows: int) -> Mast:
    other = Mast(replace(encoder.config, rows=rows))
    other.load_state_dict(encoder.state_dict())
    return other


@pytest.mark.parametrize("rows", [2, 4])
def test_rows_keep_low_and_high_frequencies_apart(rows: int) -> None:
    """Each row of a frame, and of a scene, is the mean over its own part of a stage's tokens, low before high."""
    encoder = small()
    other, given = with_rows(encoder, rows), features(77)
    audio = 0.1 * torch.randn(2, 20000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        frames = other.encode_layers(given, [1, 2, 3, 4])
        stages = encoder.stages(encoder.features(audio, 0, encoder.count(20000)))
        for step, stage, frame in zip((1, 2, 4, 8), encoder.stages(given), frames, strict=True):
            for row, part in enumerate(stage.chunk(rows, dim=1)):
                found = frame[:, ::step][..., row * stage.shape[3] : (row + 1) * stage.shape[3]]
                assert torch.allclose(found, part.mean(1)[:, : found.shape[1]], atol=1e-6)
    means = [part.mean((1, 2)) for stage in stages for part in stage.chunk(rows, dim=1)]
    model = Embedder(other)
    assert model.scene_embedding_size == model.timestamp_embedding_size == rows * encoder.dim
    assert torch.allclose(model.scene(audio), torch.cat(means, dim=1), atol=1e-5)
    assert model.timestamps(audio)[0].shape[2] == rows * encoder.dim


@pytest.mark.parametrize("rows", [0, 3, 8])
def test_rows_that_do_not_divide_every_stage_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=rf"rows={rows} does not divide all of the stages' \[4, 8, 16\] tokens"):
        replace(small().config, rows=rows)


def test_windows_of_a_long_clip_weigh_by_their_length() -> None:
    encoder = small()
    audio = 0.1 * torch.randn(1, 400 + 160 * 383, generator=torch.Generator().manual_seed(0))  # a window and a half
    whole, half = (encoder.stages(encoder.features(audio, *span)) for span in ((0, 256), (256, 384)))
    wanted = torch.cat([(2 * a.mean((1, 2)) + b.mean((1, 2))) / 3 for a, b in zip(whole, half, strict=True)], dim=1)
    side_by_side = Mast(replace(encoder.config, overlap=False))
    side_by_side.load_state_dict(encoder.state_dict())
    assert torch.allclose(Embedder(side_by_side).scene(audio), wanted.detach(), atol=1e-5)


def test_windows_of_a_long_clip_overlap_by_half() -> None:
    """A window and a half: 64 and 32 columns; the second starts in the middle of the first, weighted by triangles."""
    encoder = small()
    audio = 0.1 * torch.randn(1, 400 + 160 * 383, generator=torch.Generator().manual_seed(0))
    given = encoder.features(audio, 0, 384)
    with torch.no_grad():
        one, other = encoder.encode(given[:, :256]), encoder.encode(given[:, 128:])
    weight = torch.tensor([*range(1, 33), *range(32, 0, -1)])[:, None]
    middle = (one * weight)[:, 32:] + (other * weight)[:, :32]
    wanted = torch.cat([one[:, :32], middle / 33, other[:, 32:]], dim=1)
    assert torch.allclose(Embedder(encoder).frames(audio), wanted, atol=1e-5)


def test_stages_that_nobody_asked_for_are_not_run() -> None:
    encoder = small()
    ran: list[int] = []
    for number, block in enumerate(encoder.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    with torch.no_grad():
        encoder.encode_layers(features(32), [2, 1])
    assert ran == [1, 2]


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_zeros_behind_the_last_frame_change_nothing(missing: int) -> None:
    """The embedder fills the last token up with them; the stem's own padding is the same."""
    encoder, given = small(), features(64 - missing)
    with torch.no_grad():
        assert torch.equal(encoder.encode(given), encoder.encode(torch.nn.functional.pad(given, (0, 0, 0, missing))))


@pytest.mark.parametrize("positions", ["clamp", "stretch"])
@pytest.mark.parametrize("frames", [1, 2, 7, 31, 98, 333])
def test_any_number_of_frames(frames: int, positions: str) -> None:
    encoder = small(positions=positions)
    with torch.no_grad():
        found = encoder.encode(features(frames, clips=2))
    assert found.shape == (2, -(-frames // 4), 240)
    assert torch.isfinite(found).all()


def test_positions_differ_only_away_from_the_trained_length() -> None:
    clamp, stretch = small(), small(positions="stretch")
    with torch.no_grad():
        assert torch.allclose(clamp.encode(features(256)), stretch.encode(features(256)), atol=1e-5)
        assert not torch.allclose(clamp.encode(features(128)), stretch.encode(features(128)), atol=1e-3)


def test_features_are_asts() -> None:
    """Divided by twice the deviation; a clip's mean falls out of Kaldi's frames, so it need not be removed before."""
    encoder = small(mean=-4.0, std=3.0)
    audio = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    found = encoder.features(audio, 0, 98)
    assert torch.allclose(6.0 * found - 4.0, encoder.front(audio), atol=1e-5)
    assert torch.allclose(encoder.features(audio + 0.5, 0, 98), found, atol=1e-3)


def test_training_in_bf16_on_a_cpu_pools_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inference does not; both give the same, of the type that came in."""
    torch.manual_seed(0)
    image, kernel = torch.randn(2, 8, 6, 10).bfloat16(), torch.randn(8, 1, 3, 3, requires_grad=True)
    used: list[torch.dtype] = []
    conv2d = F.conv2d

    def noted(given: Tensor, *rest: Any, **more: Any) -> Tensor:
        used.append(given.dtype)
        return conv2d(given, *rest, **more)

    monkeypatch.setattr(F, "conv2d", noted)
    with torch.autocast("cpu", torch.bfloat16):
        trained = grouped(image, kernel.bfloat16(), (1, 2), (1, 1))
        with torch.no_grad():
            inferred = grouped(image, kernel.bfloat16(), (1, 2), (1, 1))
    assert used == [torch.float32, torch.bfloat16]
    assert trained.dtype == inferred.dtype == torch.bfloat16
    assert trained.shape == (2, 8, 6, 5)
    assert torch.allclose(trained.float(), inferred.float(), atol=0.05)
    trained.float().sum().backward()
    assert kernel.grad is not None


def test_without_relative_positions() -> None:
    encoder = small(relative=False)
    assert not [name for name, _ in encoder.named_parameters() if "relative" in name]
    assert torch.isfinite(encoder.encode(features(64))).all()


def test_stochastic_depth_spares_some_clips_in_training_only() -> None:
    encoder, given = small(), features(32).expand(8, -1, -1)
    for block in encoder.blocks:
        block.drop_prob = 0.5  # type: ignore[assignment]
    with torch.no_grad():
        assert torch.allclose(encoder.encode(given), encoder.encode(given)[:1].expand(8, -1, -1), atol=1e-5)
        trained = encoder.train().encode(given)
    assert len({tuple(clip[0].tolist()) for clip in trained}) > 1


@pytest.mark.parametrize("grid", [(8, 7), (6, 9), (1, 3)])
@pytest.mark.parametrize("strides", [((2, 3), (3, 2)), ((3, 3), (2, 2)), ((1, 4), (3, 3))])
@pytest.mark.parametrize("positions", ["clamp", "stretch"])
def test_a_block_takes_any_strides(grid: Size, strides: tuple[Size, Size], positions: Positions) -> None:
    """Also where neither of queries and keys divides the other, and where the shortcut's pool has a cell too many."""
    query, key = strides
    shape = Shape((6, 8), 8, 16, 2, query_stride=query, key_stride=key, positions=positions)
    tokens = torch.randn(2, 1 + grid[0] * grid[1], 8)
    rows, columns = pooled_size(grid, query)
    assert PooledBlock(shape)(tokens, grid).shape == (2, 1 + rows * columns, 16)


def test_strides_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"key_stride=\(0, 1\) must be 1 or more"):
        Shape((4, 4), 8, 8, 2, key_stride=(0, 1))


def test_a_block_without_its_branches_is_its_shortcut() -> None:
    block, tokens = small().blocks[0].train(), torch.randn(2, 16 * 8, 16)
    assert not torch.equal(block(tokens, (16, 8)), tokens)
    block.drop_prob = 1 - 1e-9  # type: ignore[assignment]
    assert torch.equal(block(tokens, (16, 8)), tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 255}, "frames=255 is not a multiple of the stem's stride 4"),
        ({"query_strides": ((1, 2),)}, "4 stages need 3 query_strides"),
        ({"query_strides": ((1, 2), (2, 3), (2, 2))}, r"query_strides=.* must be 1 or 2"),
        ({"stem_kernel": (10, 7)}, "must be odd"),
        ({"positions": "crop"}, "positions='crop' is not one of clamp, stretch"),
        ({"pool": "cls"}, "pool='cls' is not one of mean, mean.std, tokens"),
        ({"std": 0.0}, "std must be positive"),
        ({"heads": 3}, "cannot be split into 3 heads"),
    ],
)
def test_impossible_configurations_say_why(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)
