"""Fine-tuning from the command line: it learns, freezes, goes on, and leaves a model, a head and scores."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from click.testing import CliRunner, Result

from evaluation.reports import compare
from hear_audioformer import checkpoint, load_model
from hear_audioformer.checkpoint import WeightsError
from tests.conftest import small_encoder, write_model
from tests.evaluation.toy import beeps, tones
from training import checkpoints, finetune_output, logs
from training.finetune import main
from training.recipe import FINETUNING, read_finetuning
from training.settings import EpochSettings

ROOT = Path(__file__).parents[2]
QUICK = ["precision=32-true", "head_lr=10", "loop.log_every=5", "loop.batch=8", "loop.lr=0.1", "loop.watch_epochs=null"]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "start.safetensors")


def finetune(run: Path, start: Path | str, data: Path, *changes: str, recipe: str = "hear") -> Result:
    """A run from the command line that must not fail."""
    result = attempt(recipe, run, f"model={start}", f"data={data}", *QUICK, *changes)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def attempt(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def score(run: Path) -> dict[str, Any]:
    """The one task's line of a run's result."""
    [line] = json.loads((run / "result.json").read_text())["tasks"].values()
    return line


def pair(folder: Path, splits: Sequence[str] = ("train", "valid", "test"), clips: int = 12, name: str = "pair") -> Path:
    """A table of two classes: noise alone, or with a tone."""
    turn = np.random.RandomState(0)
    folder.mkdir(parents=True)
    rows = ["path,label,split,group"]
    for split in splits:
        for i in range(clips):
            times = np.arange(3000 + 200 * (i % 3)) / 16000
            samples = 0.05 * turn.randn(len(times)) + (i % 2) * 0.3 * np.sin(6283 * times)
            soundfile.write(folder / f"{split}{i}.wav", samples, 16000, subtype="PCM_16")
            rows.append(f"{split}{i}.wav,{['noise', 'tone'][i % 2]},{split},{split}{i // 2}")
    (folder / f"{name}.csv").write_text("\n".join(rows))
    return folder / f"{name}.csv"


def final(run: Path) -> dict[str, Any]:
    newest = checkpoints.latest(run)
    assert newest is not None
    return torch.load(newest, weights_only=True)


def test_full_training_learns_and_what_it_leaves_is_what_was_scored(tmp_path: Path, start: Path) -> None:
    run, data = tmp_path / "run", pair(tmp_path / "data")
    finetune(run, start, data, "mode=full", "loop.epochs=25", "loop.watch_epochs=5", f"results={tmp_path / 'results'}")
    line = score(run)
    assert (line["score"], line["value"], line["chance"]) == ("accuracy", 1.0, 0.5)
    assert line["also"]["mean_recall"]["value"] == 1.0
    assert line["test_clips"] == 12
    assert line["test_groups"] == 6
    assert line["chosen"] == [{"valid": 1.0}]
    assert logs.read(run / "log.jsonl")[-1]["valid"] == 1.0

    model, header = load_model(run / "model.safetensors"), checkpoint.read_header(run / "model.safetensors")
    origin = checkpoint.read_header(start)
    assert {**header.config, "pool": origin.config["pool"]} == origin.config
    assert (header.normalisation, header.licence) == (origin.normalisation, "CC0-1.0")
    assert header.provenance["recipe"]["mode"] == "full"
    assert header.provenance["clips"] == 12
    assert header.provenance["started_from"]["sha256"] == checkpoint.sha256(start)
    assert header.provenance["averaged"] is True

    head, told = finetune_output.read_head(run)
    assert told.config["classes"] == ["noise", "tone"]
    heard, _ = soundfile.read(data.parent / "test1.wav", dtype="float32")
    assert head(model.scene(torch.from_numpy(heard)[None])).argmax(1).tolist() == [1]
    [result] = compare.read(tmp_path / "results")
    assert result.label == "start-full"
    assert result.interval("pair").value == 1.0


def test_layers_of_ones_choice_stay_with_the_model(tmp_path: Path, start: Path) -> None:
    run = tmp_path / "run"
    finetune(run, start, pair(tmp_path / "data"), "mode=full", "loop.epochs=10", "layers=[1]")
    header, model = checkpoint.read_header(run / "model.safetensors"), load_model(run / "model.safetensors")
    assert header.config["layers"] == [1]
    assert model.layers == [1]
    head, _ = finetune_output.read_head(run)
    assert head.linear.weight.shape[1] == model.scene_embedding_size
    before, after = (checkpoint.read(path)[1] for path in (start, run / "model.safetensors"))
    moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert any(name.startswith("blocks.0.") for name in moved)
    assert not any(name.startswith("blocks.1.") for name in moved)


def test_frozen_training_leaves_the_encoder_as_it_is_to_the_bit(tmp_path: Path, start: Path) -> None:
    run = tmp_path / "run"
    finetune(run, start, pair(tmp_path / "data"), "mode=frozen", "loop.epochs=10")
    before, after = (checkpoint.read(path)[1] for path in (start, run / "model.safetensors"))
    assert before.keys() == after.keys()
    assert all(
        torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in before.items()
    )
    assert finetune_output.read_head(run)[0].linear.weight.any()
    assert score(run)["value"] > 0.7


def test_scratch_has_the_configuration_and_none_of_the_weights(tmp_path: Path, start: Path) -> None:
    runs = [tmp_path / name for name in ("one", "two", "other")]
    data = pair(tmp_path / "data")
    for run, seed in zip(runs, (5, 5, 6), strict=True):
        finetune(run, f"scratch:{start}", data, "mode=frozen", "loop.epochs=0.1", f"seed={seed}", "loop.swa_epochs=0")
    told = [checkpoint.read(run / "model.safetensors") for run in runs]
    given = checkpoint.read(start)[1]
    name = "blocks.0.mlp.up.weight"
    assert torch.equal(told[0][1][name], told[1][1][name])
    assert not torch.equal(told[0][1][name], told[2][1][name])
    assert not torch.equal(told[0][1][name], given[name])
    assert told[0][0].provenance["started_from"] == {"model": f"scratch:{start}"}
    assert json.loads((runs[0] / "result.json").read_text())["name"] == "scratch-start-frozen"


def test_a_size_of_a_method_is_enough_to_start_from(tmp_path: Path) -> None:
    """MAST from random weights, with the recipe's stochastic depth; no weight file tells its configuration."""
    changes = ["clips={seconds: 0.2}", "loop.epochs=0.3", "loop.warmup_epochs=0", "options={positions: stretch}"]
    finetune(tmp_path / "run", "scratch:mast-nano", pair(tmp_path / "data", clips=8), *changes, recipe="mast-paper")
    header = checkpoint.read_header(tmp_path / "run" / "model.safetensors")
    assert (header.method, header.config["width"], header.config["depths"]) == ("mast", 32, [1, 1, 2, 1])
    assert header.config["positions"] == "stretch"
    assert header.normalisation["mean"] == pytest.approx(-4.2677393)
    assert header.provenance["started_from"] == {"model": "scratch:mast-nano"}
    assert json.loads((tmp_path / "run" / "result.json").read_text())["name"] == "scratch-mast-nano-full"


MIXED = ["loop.epochs=6", "mixup.share=0.5", "specaugment={bands: 0.3, frames: 0.3}", "loop.checkpoint_seconds=0"]


def test_a_killed_run_goes_on_exactly(tmp_path: Path, start: Path) -> None:
    """SIGKILL while it trains; with mixing, masking and averaging, the weights are those of an undisturbed run."""
    data = pair(tmp_path / "data")
    changes = [f"model={start}", f"data={data}", *QUICK, *MIXED, "loop.log_every=1"]
    command = [sys.executable, "-m", "tests.training.test_finetune", str(tmp_path / "killed"), *changes]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while len(logs.read(tmp_path / "killed" / "log.jsonl")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(logs.read(tmp_path / "killed" / "log.jsonl")) < 9
    assert not (tmp_path / "killed" / "result.json").exists()
    for name in ("killed", "whole"):
        finetune(tmp_path / name, start, data, *MIXED, "loop.log_every=1")
    killed, whole = final(tmp_path / "killed"), final(tmp_path / "whole")
    assert killed["step"] == whole["step"] == 9
    assert all(torch.equal(killed["model"][name], tensor) for name, tensor in whole["model"].items())
    assert all(torch.equal(a, b) for a, b in zip(killed["average"], whole["average"], strict=True))
    assert score(tmp_path / "killed")["columns"] == score(tmp_path / "whole")["columns"]


def slowed() -> None:
    """What the killed process runs: the command, with a pause before each batch."""
    from training.data.labelled_clips import Labelled

    read_batch = Labelled.__call__

    def slow(self: Labelled, *arguments: Any) -> Any:
        time.sleep(0.2)
        return read_batch(self, *arguments)

    Labelled.__call__ = slow  # type: ignore[method-assign]
    main(["hear", *sys.argv[1:]])


def test_a_run_in_two_days_equals_one_in_one(tmp_path: Path, start: Path) -> None:
    data = pair(tmp_path / "data")
    result = attempt("hear", tmp_path / "two", f"model={start}", f"data={data}", *QUICK, *MIXED, "--until", 4)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "two" / "model.safetensors").exists()
    for name in ("two", "one"):
        finetune(tmp_path / name, start, data, *MIXED)
    two, one = (checkpoint.read(tmp_path / name / "model.safetensors")[1] for name in ("two", "one"))
    assert all(torch.equal(two[name], tensor) for name, tensor in one.items())


def test_folds_are_trained_alone_or_all_and_scored_together(tmp_path: Path, start: Path) -> None:
    """One fold first; then all, which takes the first as it is."""
    data, run = tones(tmp_path / "tasks", splits=("fold00", "fold01", "fold02"), score="mean_recall"), tmp_path / "run"
    finetune(run, start, data, "mode=frozen", "loop.epochs=10", "fold=1")
    assert (run / "result-fold01.json").exists()
    assert not (run / "result.json").exists()
    before = checkpoint.sha256(run / "fold01" / "model.safetensors"), (run / "fold01" / "log.jsonl").read_text()
    finetune(run, start, data, "mode=frozen", "loop.epochs=10")
    assert before == (checkpoint.sha256(run / "fold01/model.safetensors"), (run / "fold01/log.jsonl").read_text())
    line = score(run)
    assert line["folds"] == [0] * 12 + [1] * 12 + [2] * 12
    assert (line["score"], line["test_groups"], line["degrees"]) == ("mean_recall", 12, 9)
    assert line["value"] > 0.6
    heads = [finetune_output.read_head(run / f"fold0{i}")[1].provenance for i in range(3)]
    assert [head["test"] for head in heads] == ["fold00", "fold01", "fold02"]
    assert [head["clips"] for head in heads] == [12, 12, 12]


def test_validation_clips_can_be_learnt_from(tmp_path: Path, start: Path) -> None:
    changes = ["mode=frozen", "loop.epochs=0.1", "learn_valid=true", "loop.swa_epochs=0"]
    finetune(tmp_path / "run", start, pair(tmp_path / "data"), *changes)
    assert checkpoint.read_header(tmp_path / "run" / "model.safetensors").provenance["clips"] == 24


def test_any_number_of_labels_is_scored_by_map_and_d_prime(tmp_path: Path, start: Path) -> None:
    table = pair(tmp_path / "data")
    table.write_text(table.read_text().replace(",tone,", ",tone;noise,"))
    finetune(tmp_path / "run", start, table, "mode=frozen", "loop.epochs=5")
    line = score(tmp_path / "run")
    assert line["score"] == "mean_precision"
    assert line["also"].keys() == {"area", "d_prime"}
    assert line["also"]["d_prime"]["value"] > 0.5
    assert line["also"]["area"]["low"] <= line["also"]["area"]["value"] <= 1
    result = attempt("hear", tmp_path / "ce", f"model={start}", f"data={table}", "loss=ce", *QUICK)
    assert "any number of labels: loss=bce" in result.output


def test_another_recipe_or_model_does_not_go_on_with_a_run(tmp_path: Path, start: Path) -> None:
    data = pair(tmp_path / "data")
    finetune(tmp_path / "run", start, data, "mode=frozen", "loop.epochs=0.1", "loop.swa_epochs=0")
    result = attempt("hear", tmp_path / "run", f"model={start}", f"data={data}", *QUICK, "mode=full")
    assert "is of another run: recipe differ; choose another folder" in result.output


def test_a_head_knows_its_encoder(tmp_path: Path, start: Path) -> None:
    finetune(tmp_path, start, pair(tmp_path / "data"), "mode=frozen", "loop.epochs=0.1", "loop.swa_epochs=0")
    (tmp_path / "model.safetensors").write_bytes(start.read_bytes())
    with pytest.raises(WeightsError, match="was trained on another encoder"):
        finetune_output.read_head(tmp_path)


@pytest.mark.parametrize("name", [path.stem for path in FINETUNING.glob("*.yaml")])
def test_every_recipe_is_whole(name: str) -> None:
    recipe = read_finetuning(name, ["model=m", "data=d"])
    assert recipe.name == name
    settings = recipe.loop.in_steps(20000)
    assert settings.steps == round(recipe.loop.epochs * 20000 / recipe.loop.batch)
    assert settings.swa is None or 0 < settings.warmup < settings.swa < settings.steps


def test_lengths_are_in_epochs() -> None:
    loop = EpochSettings(epochs=10, warmup_epochs=2, swa_epochs=3, watch_epochs=0.5, batch=8, lr=1.0)
    settings = loop.in_steps(80)
    assert (settings.steps, settings.warmup, settings.swa, settings.watch_every) == (100, 20, 70, 5)
    plain = EpochSettings(epochs=1, batch=8, lr=1.0).in_steps(20)
    assert (plain.steps, plain.warmup, plain.swa, plain.watch_every) == (2, 0, None, None)


def test_defaults_serve_a_short_recipe(tmp_path: Path) -> None:
    short = tmp_path / "mine.yaml"
    short.write_text(yaml.safe_dump({"loop": {"epochs": 1, "batch": 8, "lr": 0.1}, "clips": {"seconds": 2}}))
    recipe = read_finetuning(str(short), ("model=m", "data=d"))
    assert (recipe.name, recipe.mode, recipe.clips.reader) == ("mine", "layer-decay", "resident")
    assert recipe.clips.seconds == 2


def test_a_checkpoint_keeps_the_form_of_a_recipe() -> None:
    """Runs begun by earlier versions go on: every entry is there, sections that say nothing are empty."""
    raw = read_finetuning("speech-commands", ("model=m", "data=d")).raw
    assert {key: value for key, value in raw.items() if key not in ("loop", "mixup", "specaugment")} == {
        "name": "speech-commands",
        "model": "m",
        "data": "d",
        "layout": "speech-commands",
        "fold": "all",
        "learn_valid": False,
        "mode": "layer-decay",
        "decay": 0.75,
        "head_lr": 1.0,
        "loss": "bce",
        "pool": None,
        "layers": None,
        "drop_path": 0.0,
        "smoothing": 0.0,
        "options": {},
        "contrast": None,
        "seed": 0,
        "precision": "auto",
        "clips": {"seconds": 1, "reader": "resident", "workers": 4, "balanced": False},
        "results": None,
    }
    assert read_finetuning("voxceleb-sid", ("model=m", "data=d")).raw["mixup"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model=null"], "say model=...: a name, a weight file, or scratch:NAME"),
        (["model=nobody"], "no file and no model is called 'nobody'"),
        (["model=scratch:nobody"], "no file and no model is called 'nobody'"),
        (["model=scratch:audioformer-small"], "audioformer needs a trained codec; name a weight file, scratch:FILE"),
        (["model=scratch:mast-nano", "options={colour: red}"], "unexpected keyword argument 'colour'"),
        (["data=null"], "say data=...: a data set's folder"),
        (["data=nowhere"], "there is no nowhere"),
        (["mode=half"], "mode='half': expected full or frozen or layer-decay"),
        (["fold=3"], "fold=3: pair has 1; choose all"),
        (["clips.reader=tape"], "clips.reader='tape': expected resident or stream"),
        (["clips.second=3"], "unknown clips.second; known are seconds"),
        (["modell=x", "model=null"], "Did you mean model?"),
        (["lop.epochs=3"], "not of the form section.key=value"),
        (["mixup.share=2"], "mixup.share is a share of the clips"),
        (["specaugment.bands=48"], "specaugment.bands is a share"),
        (["contrast={view: 2}"], "unknown contrast.view; known are views, alpha, temperature, anchors"),
        (["fold=first"], "fold='first': expected all or a whole number"),
        (["loop.epochs=null"], "lacks epochs: say loop.epochs="),
        (["loop.epoch=3"], "unknown loop.epoch; known are batch, lr"),
        (["loop.ema=0.9"], "choose ema or swa"),
    ],
)
def test_wrong_usage_says_what_to_do(tmp_path: Path, start: Path, changes: list[str], message: str) -> None:
    data = pair(tmp_path / "data", clips=2)
    result = attempt("hear", tmp_path / "run", f"model={start}", f"data={data}", *QUICK, *changes)
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_a_missing_recording_is_named_before_training(tmp_path: Path, start: Path) -> None:
    data = pair(tmp_path / "data")
    os.remove(data.parent / "test3.wav")
    result = attempt("hear", tmp_path / "run", f"model={start}", f"data={data}", *QUICK)
    assert result.exit_code == 1
    assert "test3.wav" in result.output
    assert not (tmp_path / "run").exists()


def test_events_are_refused(tmp_path: Path, start: Path) -> None:
    result = attempt("hear", tmp_path / "run", f"model={start}", f"data={beeps(tmp_path / 'tasks')}", *QUICK)
    assert "beeps asks for events in time" in result.output


def test_codes_are_fine_tuned_like_any_other_features(tmp_path: Path) -> None:
    """The codec comes out as it went in, from a trained model or from fresh weights; codes have no bands to hide."""
    start = write_model(small_encoder("audioformer"), "audioformer", tmp_path / "start.safetensors")
    before, data = checkpoint.read(start)[1], pair(tmp_path / "data")
    result = attempt("hear", tmp_path / "no", f"model={start}", f"data={data}", *QUICK)
    assert "codes have no bands to hide: set specaugment.bands=0" in result.output
    for source in (start, f"scratch:{start}"):
        run = tmp_path / str(source).partition(":")[0].replace("/", "")
        finetune(run, source, data, "specaugment={frames: 0.3}", "loop.epochs=2")
        after = checkpoint.read(run / "model.safetensors")[1]
        same = {name for name, tensor in before.items() if torch.equal(after[name], tensor)}
        assert {name for name in before if name.startswith("codec.")} <= same
        assert "backbones.0.encoder.layer.2.output.dense.weight" not in same
        assert score(run)["test_clips"] == 12


def test_the_published_fine_tuning_from_the_command_line(tmp_path: Path) -> None:
    """What it leaves reads one codebook, pools as it was trained, and holds no frozen views."""
    start = write_model(small_encoder("audioformer"), "audioformer", tmp_path / "start.safetensors")
    data, words = pair(tmp_path / "data"), ["layout=''", "clips.reader=resident", "contrast.views=2"]
    words += ["loop.epochs=1", "loop.warmup_epochs=0"]
    finetune(tmp_path / "run", start, data, *words, recipe="audioformer-ft2")
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert (model.pool, model.scene_embedding_size) == ("tokens", 16)
    assert {"classification", "contrast"} <= set(logs.read(tmp_path / "run" / "log.jsonl")[-1])
    assert score(tmp_path / "run")["test_clips"] == 12
    other = write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "other.safetensors")
    result = attempt("hear", tmp_path / "no", f"model={other}", f"data={data}", *QUICK, "contrast={views: 2}")
    assert "contrast is AudioFormer's: set contrast=null" in result.output


if __name__ == "__main__":
    slowed()
