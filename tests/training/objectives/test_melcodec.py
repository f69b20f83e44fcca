"""The neural codec over log-mel values: what a code depends on, how it learns, and that it is like any other codec."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from torch import Tensor

from hear_audioformer import codec as codecs
from hear_audioformer import weights
from hear_audioformer.codec import Codec, Config
from hear_audioformer.codec.mel import MelNetwork
from tests.bundles import use_bundle
from tests.evaluation.toy import tones
from tests.training.objectives.test_melrvq import noise_corpus, noises
from training import export, pretrain
from training.codec.codebooks import start_all
from training.flops import flops_per_crop
from training.objectives.melcodec import MelCodecObjective
from training.reports import code_figures
from training.reports import codec_accept as accept
from training.reports import codec_listen as listen

SMALL = Config(
    front="mel-network", filters=16, latent=8, dilations=(1, 2, 4), codebooks=4, codes=32, bands=20, context=0.2
)


def small(**options: Any) -> MelCodecObjective:
    torch.manual_seed(0)
    return MelCodecObjective(Codec(SMALL), **{"after": 2, "gathered": 600, **options})


def begun() -> MelCodecObjective:
    """With codebooks of real latents."""
    made = small().eval()
    with torch.no_grad():
        latents = made.encoder.latents(noises(8, seed=9))
        made.encoder.centre.copy_(latents.mean((0, 2)))
        made.encoder.scale.copy_(latents.std((0, 2)))
        start_all(made.encoder.quantizer, made.averages, made.encoder.latents(noises(8, seed=9)).mT.flatten(0, 1))
    made.ready.fill_(True)
    return made


def test_a_code_hears_as_far_as_its_dilations_and_no_further() -> None:
    codec = small().eval().encoder
    assert isinstance(codec.encoder, MelNetwork)
    around, hop = 1 + 1 + 2 + 4, codec.hop
    assert (codec.encoder.around, codec.config.ahead) == (around, around + 1)
    sound = noises(1, 1.0)
    changed = sound.clone()
    changed[:, 25 * hop : 26 * hop] += 0.1
    moved = ((codec.latents(changed) - codec.latents(sound)).abs().amax(1)[0] > 0).nonzero()[:, 0]
    assert (int(moved[0]), int(moved[-1])) == (25 - around - 1, 25 + around + 1)  # a window is wider than a hop


def test_blocks_batches_and_silence_behind_change_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = begun().encoder
    sound = noises(2, 4.3, seed=3)
    whole = codec(sound)
    assert all(torch.equal(codec(sound[row : row + 1])[0], whole[row]) for row in range(2))
    longer = torch.nn.functional.pad(sound, (0, 20 * codec.hop))
    assert torch.equal(codec(longer)[..., : whole.shape[2]], whole)
    monkeypatch.setattr(codecs, "BLOCK_SECONDS", 1)
    assert torch.equal(codec(sound), whole)


def test_context_must_cover_what_a_code_hears() -> None:
    with pytest.raises(ValueError, match=r"context=0.1: a code hears 0.18 s back"):
        Config(front="mel-network", dilations=(1, 2, 4), context=0.1)


def test_twenty_steps() -> None:
    """The loss falls, codebooks start when enough was gathered, and each leaves less than the ones before it."""
    made = small().train()
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    losses = []
    for step in range(40):
        torch.manual_seed(step)
        loss, logs = made(noises(4, 2.0, seed=step), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(logs["mel"].item())
        assert bool(made.ready) == (step >= 3)  # 400 frames a step from the third on, 600 wanted
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    made.eval()
    sound = noises(1, 2.0, seed=99)
    with torch.no_grad():
        latents = made.encoder.latents(sound)
        left = [float((made.quantise(latents, count).values - latents).square().mean()) for count in (1, 2, 4)]
    assert left[0] > left[1] > left[2]
    assert made.log_mel(sound).shape == made.decoded_log_mel(latents).shape == (100, 20)
    assert made.error(latents, sound) < 1.5


def test_the_first_codebook_learns_what_the_teacher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    made = small(teacher="msm-mae-tiny", taught=2)
    assert made.teaches is not None
    assert not any("_teacher" in name or "teacher" in name for name in made.state_dict())
    made.train()
    sounds = noises(3, 2.0)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    told = []
    for _ in range(20):
        latents, _ = made.normalised(made.encoder.encoder(sounds[:, None]))
        untold = made.untold(sounds[:2], latents[:2])
        optimizer.zero_grad()
        untold.backward()
        optimizer.step()
        told.append(untold.item())
    assert told[0] == pytest.approx(1, abs=0.1)
    assert told[-1] < told[0] - 0.3
    assert float(made(sounds, 0)[1]["meaning"]) < told[0] - 0.3
    heard: list[Tensor] = []
    monkeypatch.setattr(made, "untold", lambda audio, latents: heard.append(audio) or torch.zeros(()))
    made(sounds, 0)
    assert torch.equal(heard[0], sounds[:2])
    with pytest.raises(ValueError, match="another sample rate"):
        MelCodecObjective(Codec(Config(front="mel-network", sample_rate=24000)), teacher="msm-mae-tiny")


def test_work_is_counted() -> None:
    assert flops_per_crop(small()) > 1e6


def run(main: Any, *words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, examined, exported, loaded and drawn; refused where sound is asked for."""
    corpus = tmp_path / "corpus"
    noise_corpus(corpus)
    recipe = yaml.safe_load((Path(pretrain.__file__).parent / "recipes" / "melcodec-open.yaml").read_text())
    recipe |= {"encoder": {**vars(SMALL)}, "objective": {"after": 1, "gathered": 300}}
    recipe["data"] |= {"shares": {"speech": 0.5, "music": 0.5}, "augment": {}}
    recipe["loop"] |= {"steps": 4, "batch": 4, "warmup": 1, "log_every": 1}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    told = run(pretrain.main, tmp_path / "recipe.yaml", tmp_path / "run", f"data.corpus={corpus}", "precision=32-true")
    assert told.exit_code == 0, (told.output, told.exception)
    examined = run(accept.main, tmp_path / "run", tones(tmp_path / "tasks"), "-o", tmp_path / "report.json")
    assert examined.exit_code == 0, (examined.output, examined.exception)
    report = json.loads((tmp_path / "report.json").read_text())
    export.export(tmp_path / "run", "mine", tmp_path, licence="CC0-1.0", hardware="a shed")
    use_bundle(monkeypatch, tmp_path)
    codec, _ = weights.load_network("mine")
    assert isinstance(codec, Codec)
    assert codec.codebook_hash() == report["codebook_hash"]
    clip = Path(__file__).parents[3] / "docs" / "example.ogg"
    objective = listen.of_run(tmp_path / "run")
    assert isinstance(objective, MelCodecObjective)
    figure = code_figures.draw_restored(objective, clip, seconds=1.0)
    assert [axis.get_title() for axis in figure.axes] == ["recording", "1 codebook", "2 codebooks", "4 codebooks"]
    assert "no decoder of sound" in run(listen.main, tmp_path / "run", clip, "-o", tmp_path).output
