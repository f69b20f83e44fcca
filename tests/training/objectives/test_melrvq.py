"""The codec on log-mel values: what it sees, how it is fitted, and that it is a codec like any other."""

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
from hear_audioformer.codec.mel import MelStack
from tests.bundles import use_bundle
from tests.evaluation.toy import tones
from tests.training.data.test_crops import small_pack
from training import export, pretrain
from training import fit_melrvq as melrvq
from training.objectives.melrvq import Melrvq, directions
from training.reports import codec_accept as accept
from training.reports import codec_listen as listen

SMALL = Config(front="mel", latent=12, codebooks=4, codes=32, bands=20)


def noises(clips: int, seconds: float = 1.0, seed: int = 0) -> Tensor:
    """Noise whose level and colour change ten times a second."""
    generator = torch.Generator().manual_seed(seed)
    samples = round(16000 * seconds)
    white = torch.randn(clips, samples, generator=generator)
    dull = torch.nn.functional.avg_pool1d(white[:, None], 9, 1, 4)[:, 0]
    share, level = torch.rand(2, clips, samples // 1600 + 1, generator=generator).repeat_interleave(1600, -1)
    share, level = share[:, :samples], level[:, :samples]
    return 0.2 * level * (share * white + (1 - share) * dull)


def noise_corpus(folder: Path) -> None:
    """A pack of two recordings of such noise."""
    pack = small_pack(folder, [("speech", "a", 6.0), ("music", "b", 6.0)], "abc")
    (noises(1, len(pack.samples) / 16000)[0] * 32768).short().numpy().tofile(folder / "pack.int16")


def fitted(whiten: float = 0.0) -> tuple[Melrvq, list[float]]:
    made = Melrvq(Codec(SMALL), whiten=whiten)
    torch.manual_seed(0)
    return made.eval(), made.fit(noises(24))


def test_a_frame_is_its_own_25_ms() -> None:
    """Frame t is centred on the middle of its hop; neighbours stand before and behind it, silence around the clip."""
    stack = MelStack(16000, 320, 20, 2, 8)
    click = torch.zeros(1, 3200)
    click[0, 5 * 320 + 160] = 1.0
    values = stack.log_mel(click)[0]
    assert values.shape == (14, 20)
    assert values.mean(1).argmax() == 7  # two frames of silence come first
    assert torch.allclose(values[[0, 1, 12, 13]], torch.full((4, 20), 1e-4).log())
    stacked = stack.stacks(click)[0].unflatten(1, (5, 20))
    assert all(torch.equal(stacked[t], values[t : t + 5]) for t in range(10))


def test_every_band_hears_something() -> None:
    for bands in (20, 64):
        assert (MelStack(16000, 320, bands, 2, 8).filters.sum(0) > 0).all()


def test_directions_are_those_of_most_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator))[0]
    vectors = torch.randn(20000, 5, generator=generator) * torch.tensor([5.0, 3.0, 2.0, 0.1, 0.1]) @ turn
    plain, half, white = (directions(vectors, 3, whiten) for whiten in (0.0, 0.5, 1.0))
    for found, wanted in ((plain, [5.0, 3.0, 2.0]), (half, [5**0.5, 3**0.5, 2**0.5]), (white, [1.0, 1.0, 1.0])):
        assert (vectors @ found).std(0).tolist() == pytest.approx(wanted, rel=0.05)
    assert torch.allclose(plain.T @ plain, torch.eye(3), atol=1e-5)


@pytest.mark.parametrize("whiten", [0.0, 1.0])
def test_every_codebook_leaves_less(whiten: float) -> None:
    made, left = fitted(whiten)
    assert 1 > left[0] > left[1] > left[2] > left[3] > 0
    sound = noises(1, 2.0, seed=1)
    codes = made.encoder(sound)
    errors = [made.error(made.encoder.quantizer.decode(codes[:, :count]), sound) for count in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2] > made.error(made.encoder.latents(sound), sound)
    mute = made.encoder.quantizer.decode(codes) * 0
    assert float((made.mel.values(mute) - made.mel.mean).abs().max()) < 1e-5


def test_latents_tell_log_mel_values_as_well_as_so_many_directions_can() -> None:
    """With all directions nothing is lost."""
    made = Melrvq(Codec(Config(front="mel", latent=100, codebooks=1, codes=8, bands=20)))
    made.fit(noises(24))
    sound = noises(1, 1.0, seed=2)
    found = made.mel.values(made.encoder.latents(sound))
    assert torch.allclose(found, made.mel.log_mel(sound)[:, 2:-2], atol=2e-2)


def test_long_recordings_are_encoded_in_blocks_as_if_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = fitted()
    sound = noises(1, 4.3, seed=3)
    whole = made.encoder(sound)
    monkeypatch.setattr(codecs, "BLOCK_SECONDS", 1)
    assert torch.equal(made.encoder(sound), whole)


def test_a_clip_alone_and_in_a_batch() -> None:
    made, _ = fitted()
    sounds = noises(3, 1.0, seed=4)
    together = made.encoder(sounds)
    assert all(torch.equal(made.encoder(sounds[i : i + 1])[0], together[i]) for i in range(3))
    longer = torch.nn.functional.pad(sounds, (0, 6400))
    assert torch.equal(made.encoder(longer)[..., : together.shape[-1]], together)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match='codecs with front="mel"'):
        Melrvq(Codec(Config(filters=2)))
    with pytest.raises(ValueError, match=r"whiten=1.5 is not between"):
        Melrvq(Codec(SMALL), whiten=1.5)
    with pytest.raises(ValueError, match="front='wave' is not one of waveform, mel"):
        Config(front="wave")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"python -m training.fit_melrvq"):
        Melrvq(Codec(SMALL))(noises(1), 0)


def run(main: Any, *words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted, examined, exported and loaded; refused where it is to be trained or listened to."""
    corpus = tmp_path / "corpus"
    noise_corpus(corpus)
    recipe = yaml.safe_load((Path(pretrain.__file__).parent / "recipes" / "melrvq-open.yaml").read_text())
    recipe |= {"encoder": {key: value for key, value in vars(SMALL).items()}, "loop": {"steps": 3, "batch": 4}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    told = run(melrvq.main, tmp_path / "recipe.yaml", tmp_path / "run", f"data.corpus={corpus}")
    assert told.exit_code == 0, (told.output, told.exception)
    assert "left of the variance: 0." in told.output
    task = tones(tmp_path / "tasks")
    examined = run(accept.main, tmp_path / "run", task, "-o", tmp_path / "report.json")
    assert examined.exit_code == 0, (examined.output, examined.exception)
    report = json.loads((tmp_path / "report.json").read_text())
    entry = export.export(tmp_path / "run", "mine", tmp_path, licence="CC0-1.0", hardware="a shed")
    use_bundle(monkeypatch, tmp_path)
    codec, header = weights.load_network("mine")
    assert isinstance(codec, Codec)
    assert codec.codebook_hash() == report["codebook_hash"]
    assert (entry["method"], header.provenance["crops"]) == ("codec", 12)
    again = run(melrvq.main, tmp_path / "recipe.yaml", tmp_path / "again", f"data.corpus={corpus}")
    assert again.exit_code == 0
    objective = listen.of_run(tmp_path / "again")
    assert objective.encoder.codebook_hash() == report["codebook_hash"]  # the same seed, the same codes
    clip = Path(__file__).parents[3] / "docs" / "example.ogg"
    assert "has no decoder of sound" in run(listen.main, tmp_path / "run", clip, "-o", tmp_path).output
    assert "nothing here learns by gradients" in run(pretrain.main, tmp_path / "recipe.yaml", tmp_path / "x").output
    assert "is to be trained" in run(melrvq.main, "codec-open", tmp_path / "x", f"data.corpus={corpus}").output
    assert "name a corpus" in run(melrvq.main, "melrvq-open", tmp_path / "x").output
