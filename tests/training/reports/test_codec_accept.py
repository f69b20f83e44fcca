"""Examining a codec: every answer is about the codec of the run, and what a listener gets is what it gives back."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from torch import Tensor

from evaluation.tasks import tasks
from tests.conftest import learn_codebooks
from tests.evaluation.toy import beeps, tones
from tests.training.test_export import RECIPE, trained
from training.objectives.codec import CodecObjective
from training.pretrain import build
from training.recipe import Recipe
from training.reports import code_figures, figures
from training.reports import codec_accept as accept
from training.reports import codec_listen as listen
from training.reports.codec_accept import Report, examine, unmoved

CODEC: dict[str, Any] = {
    **RECIPE,
    "method": "codec",
    "encoder": {"filters": 2, "ratios": [8, 5, 8], "latent": 8, "codes": 32, "codebooks": 4, "dilations": []},
    "objective": {"gathered": 150},
}
CLIP = Path(__file__).parents[3] / "docs" / "example.ogg"


def objective() -> CodecObjective:
    """A random codec with codes that change with the sound."""
    made: Any = build(Recipe.parse(CODEC))
    torch.nn.utils.parametrize.remove_parametrizations(made.encoder.encoder.layers[-1].conv, "weight")
    learn_codebooks(made.encoder)
    made.ready.fill_(True)
    return made.eval()


def test_all_four_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.read(tones(tmp_path))
    made = objective()
    asked: list[int] = []
    monkeypatch.setattr(accept, "REACH", 0.1)  # its clips are short
    monkeypatch.setattr(made, "error", lambda codes, sound: asked.append(len(sound)) or 1 / len(asked))
    report = examine(made, task, listened=3)
    assert len(report.perplexity) == len(report.commonest) == 4
    assert all(1 < value <= 32 for value in report.perplexity)
    assert all(1 / 32 < share < 1 for share in report.commonest)
    assert list(report.errors) == [1, 2, 4]
    assert report.unquantised > 0
    assert report.unquantised not in report.errors.values()
    assert 0 < report.stable <= 1
    assert set(report.probe) == {"histograms of codebook 1", "mean log-mel values"}
    assert report.probe["mean log-mel values"] > 0.9  # tones of different pitch


def test_use_is_counted_where_something_is_heard(tmp_path: Path) -> None:
    """Perplexity and the commonest share, by hand, from the codes of all clips."""
    task = tasks.read(tones(tmp_path))
    made = objective()
    report = examine(made, task, listened=1)
    codes = [made.encoder(listen.whole(clip, 320))[0, 0] for clip in accept.clips(task, 16000)]
    shares = torch.cat(codes).bincount(minlength=32).double()
    shares /= shares.sum()
    assert report.perplexity[0] == pytest.approx(float((-shares * shares.clamp(min=1e-30).log()).sum().exp()), rel=1e-3)
    assert report.commonest[0] == pytest.approx(float(shares.max()), rel=1e-6)


def test_codes_of_the_past_alone_stay_when_it_goes() -> None:
    """A causal codec has the same codes after a shift; one that counts frames from the beginning has not."""
    made = objective()
    sound = torch.randn(1, 60 * 320, generator=torch.Generator().manual_seed(0)) * 0.2
    same = unmoved(made, sound, made.encoder(sound, 1)[0, 0])
    assert len(same) == 34  # the beginning is left out
    assert same.float().mean() > 0.95
    assert not len(unmoved(made, sound[:, : 20 * 320], made.encoder(sound[:, : 20 * 320], 1)[0, 0]))

    def counts(audio: Tensor, count: int) -> Tensor:
        return torch.arange(audio.shape[1] // 320)[None, None]

    made.encoder.forward = counts  # type: ignore[assignment]
    assert not unmoved(made, sound, torch.arange(60)).any()


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, []),
        ({"perplexity": [400.0, 200.0]}, ["codebooks are used"]),
        ({"commonest": [0.01, 0.06]}, ["codebooks are used"]),
        ({"errors": {1: 1.0, 2: 1.1, 4: 0.5}}, ["every codebook helps"]),
        ({"errors": {1: 1.0, 2: 0.9, 4: 0.8}}, ["every codebook helps"]),
        ({"stable": 0.94}, ["codes stay with sounds"]),
    ],
)
def test_verdicts(change: dict[str, Any], failed: list[str]) -> None:
    good: dict[str, Any] = {"perplexity": [400.0, 300.0], "commonest": [0.01, 0.05], "stable": 0.95}
    report = Report(**{**good, "errors": {1: 1.0, 2: 0.9, 4: 0.75}, **change})
    assert [name for name, answer in report.verdicts(1024).items() if not answer] == failed


def test_more_codebooks_come_nearer_where_the_decoder_is_good() -> None:
    """With latents for a decoder, what is given back is the quantised latent itself."""
    made = objective()
    made.decoder = torch.nn.Identity()  # type: ignore[assignment]
    audio = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.2
    with torch.no_grad():
        wanted = made.encoder.latents(audio)
    codes = made.encoder(audio)
    errors = [float((listen.restored(made, codes[:, :n]) - wanted).square().mean()) for n in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_the_distance_is_that_of_logarithms() -> None:
    made = objective()
    audio = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.2
    assert made.distance.apart(audio, audio) == 0
    assert made.distance.apart(2e4 * audio, 1e4 * audio) == pytest.approx(np.log(2), rel=0.01)


def run(main: Any, *words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_from_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder, task = tmp_path / "run", tones(tmp_path / "tasks")
    trained(folder, CODEC)
    told = run(accept.main, folder, task, "-o", tmp_path / "report.json")
    assert told.exit_code == 0, (told.output, told.exception)
    assert "codes stay with sounds" in told.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (len(report["perplexity"]), set(report["errors"])) == (4, {"1", "2", "4"})
    told = run(listen.main, folder, CLIP, "-o", tmp_path / "heard")
    assert told.exit_code == 0, (told.output, told.exception)
    lengths = {path.name: soundfile.info(path).frames for path in (tmp_path / "heard").glob("*.wav")}
    assert set(lengths) == {"example.wav", "example-1.wav", "example-2.wav", "example-4.wav"}
    assert len(set(lengths.values())) == 1
    heard = json.loads((tmp_path / "heard" / "heard.json").read_text())
    assert (heard["codebook_hash"], heard["format"]) == (report["codebook_hash"], "wav")
    assert [f"{heard['clips']['example'][count]:.3f}" for count in "124"] == re.findall(r"\d+\.\d{3}", told.output)
    assert run(listen.main, folder, CLIP, "-o", tmp_path / "heard", "--format", "ogg").exit_code == 0
    assert soundfile.info(tmp_path / "heard" / "example-4.ogg").frames == lengths["example-4.wav"]
    for words in (["reconstruction", folder, CLIP], ["usage", folder, CLIP, CLIP], ["loss", folder]):
        drawn = run(figures.main, *words, "-o", tmp_path / "x.png")
        assert drawn.exit_code == 0, (drawn.output, drawn.exception)
        assert (tmp_path / "x.png").stat().st_size > 5000
        (tmp_path / "x.png").unlink()
    assert (
        "attention of Codec cannot be drawn"
        in run(figures.main, "attention", folder, CLIP, "-o", tmp_path / "x.png").output
    )
    assert "choose a scene task" in run(accept.main, folder, beeps(tmp_path / "tasks")).output


def test_runs_that_hold_no_codec_are_refused(tmp_path: Path) -> None:
    trained(tmp_path / "other")
    assert "trained no codec" in run(listen.main, tmp_path / "other", CLIP, "-o", tmp_path).output
    assert "has no codec" in run(figures.main, "usage", tmp_path / "other", CLIP, "-o", tmp_path / "x.png").output
    trained(tmp_path / "early", {**CODEC, "objective": {"after": 99}})
    assert "before its codebooks began" in run(listen.main, tmp_path / "early", CLIP, "-o", tmp_path).output


def test_usage_counts_codes() -> None:
    codec = objective().encoder
    shares = code_figures.usage(codec, [CLIP, CLIP])
    assert shares.shape == (4, 32)
    assert torch.allclose(shares.sum(1), torch.ones(4))
    assert torch.allclose(shares, code_figures.usage(codec, [CLIP]))
