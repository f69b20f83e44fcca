"""Recipes: what they say is what runs, from the command line to a checkpoint, and what it would cost."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from corpora.catalogue import SETS, kind_of
from corpora.synthesis import solos
from hear_audioformer import checkpoint, weights
from tests.training.data.test_crops import CLIPS, small_pack
from tests.training.data.test_stream import build as stream_corpus
from training import logs
from training.data.readers import open_source
from training.pretrain import build, main
from training.recipe import RECIPES, read_recipe

TINY = [
    "loop.compile=false",
    "encoder={width: 24, depth: 1, heads: 2, frames: 96}",
    "objective={width: 16, depth: 1, heads: 2}",
]
TINY += ["loop.steps=3", "loop.batch=4", "loop.warmup=1", "loop.log_every=1", "precision=32-true"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.yaml") if path.stem != "melrvq-open"])
def test_every_recipe_builds_and_counts(name: str) -> None:
    result = run(name, "--dry-run", "h100")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["crops"] == facts["steps"] * read_recipe(name).loop.batch
    assert facts["hours"] > 0


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.yaml")])
def test_recipes_name_kinds_that_corpora_have(name: str) -> None:
    """Those that the open packages' clips get, rendered ones, or ``other``, as a user's own clips are called."""
    given = {kind_of(package, f"usr/{word}.wav", 5.0) for package in SETS["open"] for word in ("x", "music", "ambient")}
    assert set(read_recipe(name).data.shares) <= given | {"other", *solos.KINDS}


def test_the_papers_recipe_is_the_published_one() -> None:
    facts = json.loads(run("msm-mae-paper", "--dry-run", "a100").stdout)
    recipe = read_recipe("msm-mae-paper")
    assert facts["epochs"] == pytest.approx(100, rel=1e-3)
    assert recipe.loop.lr * 512 / 256 == pytest.approx(6e-4)  # the published peak at batch 512
    assert build(recipe).visible == 40
    tables, key_biases = 161 * (768 + 384), 12 * 768 + 4 * 384  # theirs are parameters, ours exist and are zero
    assert facts["parameters"] + tables - key_biases == 92_921_728


def test_a_run_from_the_command_line_goes_on(tmp_path: Path) -> None:
    small_pack(tmp_path / "corpus", CLIPS)
    command = ["msm-mae-open", tmp_path / "run", f"data.corpus={tmp_path / 'corpus'}", *TINY]
    first = run(*command, "--until", 2)
    assert first.exit_code == 0, first.output
    assert run(*command).exit_code == 0
    assert [line["step"] for line in logs.read(tmp_path / "run" / "log.jsonl")] == [1, 2, 3]


def test_a_run_branches_off_from_the_command_line(tmp_path: Path) -> None:
    small_pack(tmp_path / "corpus", CLIPS)
    changes = [f"data.corpus={tmp_path / 'corpus'}", *TINY, "loop.schedule=wsd"]
    assert run("msm-mae-open", tmp_path / "long", *changes, "loop.steps=9", "--until", 2).exit_code == 0
    start = tmp_path / "long" / "step-00000002.ckpt"
    cooled = [*changes, "loop.steps=4", "loop.cooldown=2", "--branch", start]
    result = run("msm-mae-open", tmp_path / "branch", *cooled)
    assert result.exit_code == 0, result.output
    assert [line["step"] for line in logs.read(tmp_path / "branch" / "log.jsonl")] == [1, 2, 3, 4]


def test_a_run_begins_with_the_weights_of_a_model(tmp_path: Path) -> None:
    """At a rate of zero they stay what they were, whatever the window; the model's hash is kept with the run."""
    small_pack(tmp_path / "corpus", CLIPS)
    command = ["msm-mae-long", tmp_path / "run", f"data.corpus={tmp_path / 'corpus'}", "precision=32-true"]
    command += ["loop.steps=1", "loop.batch=2", "loop.warmup=0", "loop.lr=0", "loop.compile=false"]
    result = run(*command)
    assert result.exit_code == 0, result.output
    saved = torch.load(tmp_path / "run" / "step-00000001.ckpt")
    header, tensors = checkpoint.read(weights.resolve("msm-mae-tiny"))
    assert saved["facts"]["init"] == header.sha256
    assert all(torch.equal(saved["model"][f"encoder.{name}"], tensor.float()) for name, tensor in tensors.items())


def test_weights_that_do_not_fit_a_recipe_are_refused(tmp_path: Path) -> None:
    small_pack(tmp_path / "corpus", CLIPS)
    corpus = f"data.corpus={tmp_path / 'corpus'}"
    other = run("msm-mae-open", tmp_path / "run", corpus, *TINY, "init=asit-tiny")
    assert other.exit_code == 2
    assert "a model of asit, the recipe's method is msm-mae" in other.output
    small = run("msm-mae-open", tmp_path / "run", corpus, *TINY, "init=msm-mae-tiny")
    assert small.exit_code == 1
    assert "does not fit the model that its config describes" in small.output


ASIT = [
    "encoder={width: 24, depth: 1, heads: 2, frames: 48}",
    "objective={epoch: 2, span: 0.96, seconds: 0.6, heads: {hidden: 16, bottleneck: 8, cls: 12, patch: 10}}",
]


def test_the_teacher_goes_on_from_the_command_line(tmp_path: Path) -> None:
    small_pack(tmp_path / "corpus", CLIPS)
    command = ["asit-open", f"data.corpus={tmp_path / 'corpus'}", *TINY, *ASIT]
    for name, until in (("whole", []), ("parts", ["--until", 2]), ("parts", [])):
        result = run(command[0], tmp_path / name, *command[1:], *until)
        assert result.exit_code == 0, result.output
    whole, parts = (torch.load(tmp_path / name / "step-00000003.ckpt")["model"] for name in ("whole", "parts"))
    assert any(name.startswith("teacher.") for name in whole)
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    line = logs.read(tmp_path / "whole" / "log.jsonl")[-1]
    assert line.keys() >= {"cls", "patch", "pixel"}


def test_asits_recipes_are_the_published_ones() -> None:
    """Section by section: the sizes of heads and networks, and the rates at the published batch."""
    facts = json.loads(run("asit-paper", "--dry-run", "h100").stdout)
    assert facts["epochs"] == pytest.approx(100, rel=1e-3)
    assert facts["encoder_parameters"] == 85_482_240
    assert facts["parameters"] + 8192 + 1024 == 95_458_945  # with the prototypes' magnitudes, which stay 1
    for name, least in (("asit-paper", 1e-6), ("asit-paper-16k", 1e-6)):
        recipe = read_recipe(name)
        settings = recipe.loop
        assert settings.lr_at(settings.steps) == pytest.approx(least)
        assert settings.lr_at(settings.warmup) == pytest.approx(5e-4 * settings.batch / 256)
        assert settings.warmup == 10 * recipe.objective["epoch"]
        assert settings.steps == 100 * recipe.objective["epoch"]
        assert recipe.objective["epoch"] * settings.batch == 2_000_000


def test_audioformers_recipe_is_the_published_one() -> None:
    recipe = read_recipe("audioformer-paper")
    assert recipe.loop.steps * 66 / recipe.published.clips == pytest.approx(12, rel=1e-3)
    assert recipe.loop.batch == 22 * 3
    assert recipe.loop.lr * 66 / 256 == pytest.approx(1e-4, rel=1e-3)
    with torch.device("meta"):
        objective = build(recipe)
    config = objective.encoder.config
    assert (config.width, config.depth, config.sequences, config.backbones) == (768, 12, 4, 4)
    assert config.codec.sample_rate == 24000
    assert objective.crop == 240000  # ten seconds
    assert (objective.share, objective.mode, objective.reader) == (0.25, "token", "codes")


def test_the_open_model_reads_the_open_codec() -> None:
    with torch.device("meta"):
        model, codec = (build(read_recipe(f"{name}-open")).encoder for name in ("audioformer", "melrvq"))
    assert replace(codec.config, codebooks=4) == model.config.codec


def test_a_corpus_of_another_rate_is_refused(tmp_path: Path) -> None:
    result = run("asit-open", tmp_path / "x", f"data.corpus={tmp_path}", *TINY, *ASIT, "encoder.sample_rate=32000")
    assert result.exit_code == 2
    assert "corpora are kept at 16000 Hz, the encoder wants 32000: set encoder.sample_rate=16000" in result.stderr


def test_a_run_stays_with_its_corpus(tmp_path: Path) -> None:
    """Even if the folder is the same."""
    command = ["msm-mae-open", tmp_path / "run", f"data.corpus={tmp_path / 'corpus'}", *TINY]
    small_pack(tmp_path / "corpus", CLIPS)
    assert run(*command, "--until", 1).exit_code == 0
    shutil.rmtree(tmp_path / "corpus")
    small_pack(tmp_path / "corpus", CLIPS, fingerprint="other")
    result = run(*command)
    assert result.exit_code == 1
    assert "is of another run: corpus differ; choose another folder" in result.stderr


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in logs.read(folder / "log.jsonl")]


def test_the_same_recipe_gives_the_same_losses(tmp_path: Path) -> None:
    """Five steps, twice, to the last bit; not so with another seed."""
    small_pack(tmp_path / "corpus", CLIPS)
    command = [f"data.corpus={tmp_path / 'corpus'}", *TINY, "loop.steps=5"]
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        assert run("msm-mae-open", tmp_path / name, *command, f"seed={seed}").exit_code == 0
    assert len(losses(tmp_path / "one")) == 5
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    assert losses(tmp_path / "one") != losses(tmp_path / "other")


def test_a_streamed_run_is_the_resident_one(tmp_path: Path) -> None:
    """Augmentation and synthesis take part, and the streamed run is stopped and gone on with."""
    corpus = stream_corpus(tmp_path / "corpus")
    augment = "data.augment={once: 0.5, mix: 0.5, reverb: 0.5, gain_db: 6}"
    command = [f"data.corpus={corpus}", "data.shares={speech: 1, music: 1}", "data.synthetic=0.25", augment, *TINY]
    assert run("msm-mae-open", tmp_path / "resident", *command).exit_code == 0
    for until in (["--until", 2], []):
        result = run("msm-mae-open", tmp_path / "streamed", *command, "data.reader=stream", *until)
        assert result.exit_code == 0, result.output
    assert losses(tmp_path / "streamed") == losses(tmp_path / "resident")
    assert run("msm-mae-open", tmp_path / "plain", *command, "data.augment=null").exit_code == 0
    assert losses(tmp_path / "plain") != losses(tmp_path / "resident")


def test_a_share_of_the_crops_is_synthetic(tmp_path: Path) -> None:
    """The test corpus holds ramps of whole 16-bit steps; what is synthesised does not."""
    small_pack(tmp_path, CLIPS)
    recipe = read_recipe("msm-mae-open", [f"data.corpus={tmp_path}", "data.synthetic=0.25", *TINY])
    source, _ = open_source(recipe.data, build(recipe), torch.device("cpu"))
    audio = source(16, torch.Generator().manual_seed(0))
    steps = audio * 32768
    real = (steps == steps.round()).all(dim=1)
    assert audio.shape == (16, 96 * 160)
    assert real.tolist() == [True] * 12 + [False] * 4
    assert torch.equal(source(16, torch.Generator().manual_seed(0)), audio)


def test_a_corpus_without_a_pack_is_one_line(tmp_path: Path) -> None:
    result = run("msm-mae-open", tmp_path / "run", f"data.corpus={tmp_path}", *TINY)
    assert result.exit_code == 1
    assert "has no pack; `python -m corpora.pack" in result.stderr


@pytest.mark.parametrize("reader", ["resident", "stream"])
def test_a_wrong_path_is_named_itself(tmp_path: Path, reader: str) -> None:
    wrong = tmp_path / "open"
    result = run("msm-mae-open", tmp_path / "run", f"data.corpus={wrong}", f"data.reader={reader}", *TINY)
    assert result.exit_code == 1
    assert f"{wrong}: there is no such folder" in result.stderr
    assert f"{tmp_path}:" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense", "x"), "no recipe 'nonsense'; there are"),
        (("msm-mae-open",), "name a folder for the run"),
        (("msm-mae-open", "x"), "name a corpus: data.corpus=FOLDER"),
        (("msm-mae-open", "x", "loop.steps"), "not of the form section.key=value"),
        (("msm-mae-open", "x", "loops.steps=3"), "not of the form section.key=value"),
        (("msm-mae-open", "x", "stepps=3"), "msm-mae-open.yaml: unknown stepps; known are name, method"),
        (("msm-mae-open", "x", "method=ears"), "method=ears: unknown method"),
        (("msm-mae-open", "x", "data.corpsu=x"), "unknown data.corpsu; known are corpus, labelled, reader, shares"),
        (("msm-mae-open", "x", "data.corpsu=x"), "augment, mixtures. Did you mean data.corpus?"),
        (("msm-mae-open", "x", "data.reader=tape"), "data.reader='tape': expected resident or stream or codes"),
        (("msm-mae-open", "x", "data.augment.mixx=1"), "there is no section data.augment"),
        (("msm-mae-open", "x", "data.augment={mixx: 1}"), "unknown data.augment.mixx; known are once, mix, reverb"),
        (("msm-mae-open", "x", "data.labelled=x"), "learns from audio, not from labelled: name data.corpus=FOLDER"),
        (("msm-mae-open", "x", "loop.batch=abc"), "loop.batch='abc': expected a whole number"),
        (("msm-mae-open", "x", "loop.lr=1e-3"), "loop.lr='1e-3': expected a number, such as 1.0e-3"),
        (("msm-mae-open", "x", "loop.steps=null"), "loop lacks steps: say loop.steps=..."),
        (("msm-mae-open", "x", "loop.betas=[0.9]"), "loop.betas=[0.9]: expected 2 values"),
        (("msm-mae-open", "x", "loop=3"), "loop=3: expected entries KEY: VALUE; known are batch, lr"),
        (("msm-mae-open", "x", "encoder.widht=3"), "unknown encoder.widht; known are size, width, depth"),
        (("msm-mae-open", "x", "encoder.size=huge"), "encoder.size=huge: choose "),
        (("msm-mae-open", "x", "objective.masks=3"), "unknown objective.masks; known are mask_ratio, width"),
        (("asit-open", "x", "objective.heads.cls=many"), "objective.heads.cls='many': expected a whole number"),
        (("melrvq-open", "x", "objective.mel=1.0"), "unknown objective.mel; known are whiten"),
        (("mast-open", "x", "objective.loss=ce"), "unknown objective.loss; known are classes, seconds"),
        (("msm-mae-open", "--dry-run", "abacus"), "unknown device 'abacus'; known are"),
    ],
)
def test_wrong_usage_says_what_to_do(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
