"""Codes computed once: they are the codec's, survive interruptions, and teach what waveforms would have taught."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from corpora.pack import Pack, PackError
from hear_audioformer import checkpoint
from hear_audioformer.codec import Codec
from tests.conftest import learn_codebooks, small_audioformer
from tests.training.data.test_crops import small_pack
from tests.training.objectives.test_audioformer import small
from training import logs, pretrain
from training.data import codes
from training.data.code_batches import CodeBatches, CodeCrops
from training.data.codes import Codes, make
from training.data.synth import synthesise
from training.flops import flops_per_crop
from training.objectives.audioformer import AudioformerObjective

CLIPS = [("speech", "a", 3.3), ("music", "b", 0.4), ("speech", "c", 1.7)]
SHARES = {"speech": 0.5, "music": 0.5}


def corpus(folder: Path, fingerprint: str = "abc") -> Pack:
    """Noise of changing level, with half a second of digital silence at 1.2 s of the first clip."""
    pack = small_pack(folder, CLIPS, fingerprint)
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(len(pack.samples) // 320 + 1, generator=generator).repeat_interleave(320)[: len(pack.samples)]
    audio = 0.2 * levels * torch.randn(len(pack.samples), generator=generator)
    audio[60 * 320 : 85 * 320] = 0
    (audio * 32768).short().numpy().tofile(folder / "pack.int16")
    return Pack.open(folder)


def waveform(pack: Pack, clip: int) -> Tensor:
    return torch.from_numpy(np.array(pack.clip(clip))).float()[None] / 32768


def other_codec() -> Codec:
    torch.manual_seed(5)
    codec = small_audioformer().codec
    learn_codebooks(codec)
    return codec


def test_codes_are_those_of_each_clip_by_itself(tmp_path: Path) -> None:
    pack, codec = corpus(tmp_path), small().codec
    made = make(tmp_path, codec, "mine")
    assert (made.kinds, made.packages, made.fingerprint) == (pack.kinds, pack.packages, pack.fingerprint)
    assert made.hours == pytest.approx(5.4 / 3600)
    assert made.lengths.tolist() == [165, 20, 85]
    _, counts = np.unique(made.rows[:, 0], return_counts=True)
    assert made.perplexity()[0] == pytest.approx(np.prod((counts / 270) ** (-counts / 270)))
    assert len(made.perplexity()) == len(made.hashes)
    for clip in range(len(CLIPS)):
        start = int(made.offsets[clip])
        rows = made.rows[start : start + int(made.lengths[clip])]
        assert rows[:, :2].tolist() == codec(waveform(pack, clip))[0].T.tolist()
    assert (made.rows[:165, 2] == 0).nonzero()[0].tolist() == list(range(60, 85))
    assert made.rows[165:, 2].all()
    assert not list(tmp_path.glob("*.part*"))


def test_another_rate_is_reached_by_resampling(tmp_path: Path) -> None:
    corpus(tmp_path)
    torch.manual_seed(0)
    faster = Codec(small_audioformer(codec={**asdict(small().config.codec), "sample_rate": 24000}).config.codec)
    learn_codebooks(faster)
    assert make(tmp_path, faster, "fast").lengths.tolist() == [248, 30, 128]  # of 320 samples at 24 kHz


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whole", "broken"):
        corpus(tmp_path / name)
    codec = small().codec
    wanted = make(tmp_path / "whole", codec, "mine")
    heard: list[int] = []
    forward = Codec.forward

    def dies(self: Codec, audio: Tensor, count: int | None = None) -> Tensor:
        heard.append(audio.shape[1])
        if len(heard) == 3:
            raise KeyboardInterrupt
        return forward(self, audio, count)

    monkeypatch.setattr(Codec, "forward", dies)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "broken", codec, "mine")
    with open(tmp_path / "broken" / "codes-mine.part", "ab") as file:
        file.write(b"abc")  # half a row
    with pytest.raises(PackError, match="has no codes of mine"):
        Codes.open(tmp_path / "broken", "mine")
    found = make(tmp_path / "broken", codec, "mine")
    assert heard == [52800, 6400, 27200, 27200]
    assert np.array_equal(found.rows, wanted.rows)
    make(tmp_path / "broken", codec, "mine")
    assert len(heard) == 4


def test_several_processes_write_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "CHUNK", 1)
    for name in ("one", "two"):
        corpus(tmp_path / name)
    codec = other_codec()
    one, two = codes.make(tmp_path / "one", codec, "x"), codes.make(tmp_path / "two", codec, "x", processes=2)
    assert np.array_equal(one.rows, two.rows)
    refused = CliRunner().invoke(codes.main, [str(tmp_path), "x", "--device", "cuda", "--processes", "2"])
    assert "--processes are for --device cpu" in refused.output


def test_codes_of_another_codec_or_corpus_stay(tmp_path: Path) -> None:
    corpus(tmp_path)
    made = make(tmp_path, small().codec, "mine")
    assert made.speaks(small().codec)
    assert made.speaks(small().codec.first(1))
    assert not made.speaks(other_codec())
    before = (tmp_path / "codes-mine.uint16").read_bytes()
    with pytest.raises(PackError, match="holds codes of another codec or corpus; delete it"):
        make(tmp_path, other_codec(), "mine")
    corpus(tmp_path, fingerprint="changed")
    with pytest.raises(PackError, match="holds codes of another codec or corpus; delete it"):
        make(tmp_path, small().codec, "mine")
    assert (tmp_path / "codes-mine.uint16").read_bytes() == before
    (tmp_path / "codes-half.part.json").write_text("{}")
    with pytest.raises(PackError, match="was begun with another codec or corpus; delete it"):
        make(tmp_path, small().codec, "half")
    with open(tmp_path / "codes-mine.uint16", "ab") as file:
        file.write(b"ab")
    with pytest.raises(PackError, match="is not as long as"):
        Codes.open(tmp_path, "mine")


def places(rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.long)


def test_codes_teach_what_waveforms_teach(tmp_path: Path) -> None:
    """Windows from the start of clips, where a codec that hears only the past knows the same either way."""
    pack = corpus(tmp_path)
    made = make(tmp_path, small().codec, "mine")
    reader = CodeCrops(made, 50, 2, SHARES, device="cpu")
    starts = places([[0, 0, 165], [2, 0, 85]])
    audio = torch.cat([waveform(pack, clip)[:, :16000] for clip in (0, 2)])
    learnt = []
    for batch in (audio, reader.cut(starts)):
        objective = AudioformerObjective(small())
        optimiser = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)
        losses = []
        for step in range(3):
            torch.manual_seed(step)
            loss, _ = objective(batch, step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        learnt.append((losses, objective.state_dict()))
    assert learnt[0][0] == learnt[1][0]
    assert len(set(learnt[0][0])) == 3
    assert all(torch.equal(tensor, learnt[1][1][name]) for name, tensor in learnt[0][1].items())


def test_windows_are_runs_of_one_clip_and_short_ones_repeat(tmp_path: Path) -> None:
    corpus(tmp_path)
    made = make(tmp_path, small().codec, "mine")
    reader = CodeCrops(made, 50, 1, SHARES, device="cpu")
    found = reader.cut(places([[0, 70, 165], [1, 15, 20]]))
    assert found.codes[0, :, 0].tolist() == made.rows[70:120, 0].tolist()
    assert found.heard[0].tolist() == [False] * 15 + [True] * 35
    short = made.rows[165:185, 0].tolist()
    assert found.codes[1, :, 0].tolist() == (short * 4)[15:65]
    assert found.codes.shape == (2, 50, 1)
    one, again, other = (reader(4, torch.Generator().manual_seed(seed)).codes for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_synthetic_sounds_are_encoded_as_they_are_made(tmp_path: Path) -> None:
    corpus(tmp_path)
    objective = AudioformerObjective(small())
    reader = CodeCrops(make(tmp_path, objective.encoder.codec, "mine"), 50, 2, SHARES, device="cpu")
    mixture = CodeBatches(reader, objective.coded, objective.crop, 16000, 0.4)
    found, generator = mixture(5, torch.Generator().manual_seed(3)), torch.Generator().manual_seed(3)
    assert torch.equal(found.codes[:3], reader(3, generator).codes)
    wanted = objective.coded(synthesise(2, 16000, 16000, generator))
    assert torch.equal(found.codes[3:], wanted.codes)
    assert torch.equal(found.heard[3:], wanted.heard)


def test_the_codec_is_no_cost_where_codes_are_there() -> None:
    objective = AudioformerObjective(small())
    audio = flops_per_crop(objective)
    objective.reader = "codes"
    assert flops_per_crop(objective) < 0.9 * audio


SIZES = ["encoder.size=null", "encoder.width=16", "encoder.depth=1", "encoder.heads=2", "encoder.average=1"]
SIZES += ["encoder.window=50", "encoder.trained=2", "precision=32-true", "loop.steps=2", "loop.batch=4"]
SIZES += ["loop.warmup=1", "loop.log_every=1", "data.synthetic=0.25", "data.reader=codes"]


def write_codec(codec: Codec, path: Path) -> None:
    checkpoint.write(path, codec.state_dict(), checkpoint.Header("codec", asdict(codec.config)))


def test_from_the_command_line(tmp_path: Path) -> None:
    """Codes, a run on them, and what is refused: no codes, those of a codec trained anew, methods that read none."""
    folder, codec = tmp_path / "corpus", small().codec
    corpus(folder)
    file = tmp_path / "tiny.safetensors"
    write_codec(codec, file)
    config: dict[str, Any] = asdict(codec.config)
    options = [*SIZES, f"encoder.codec={config}".replace("(", "[").replace(")", "]").replace(",]", "]")]
    options += [f"objective.codec={file}", f"data.corpus={folder}"]

    def run(*words: object) -> Any:
        return CliRunner().invoke(pretrain.main, [str(word) for word in words])

    result = run("audioformer-open", tmp_path / "run", *options)
    assert result.exit_code == 1
    assert "has no codes of tiny" in result.output
    told = CliRunner().invoke(codes.main, [str(folder), str(file), "--codebooks", "2", "--device", "cpu"])
    assert told.exit_code == 0, told.output
    assert "3 clips" in told.output
    result = run("audioformer-open", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    assert [line["step"] for line in logs.read(tmp_path / "run" / "log.jsonl")] == [1, 2]
    result = run("audioformer-open", tmp_path / "other", *options, "data.augment={gain_db: 3}")
    assert "set data.augment=null" in result.output
    write_codec(other_codec(), file)
    result = run("audioformer-open", tmp_path / "other", *options)
    assert "of a codec that was trained anew" in result.output
    result = run("msm-mae-open", tmp_path / "other", f"data.corpus={folder}", "data.reader=codes")
    assert "this objective learns from audio, not from codes" in result.output
