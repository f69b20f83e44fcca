"""Cards: every figure comes from the weight file, its log, and files of results of these very weights."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from evaluation.scoring.bootstrap import student
from hear_audioformer import weights
from tests.bundles import use_bundle
from tests.training.test_export import trained
from training import export
from training.data.labelled_mixtures import MixtureConfig
from training.recipe import Data
from training.reports import card


def result(folder: Path, module: str, sha256: str, values: dict[str, float]) -> Path:
    entries = {
        task: {"value": value, "low": value - 0.1, "high": value + 0.1, "error": 0.1 / student(9), "degrees": 9}
        for task, value in values.items()
    }
    path = folder / f"{module.rsplit('.', 1)[-1]}.json"
    path.write_text(json.dumps({"module": module, "name": "mine", "model_sha256": sha256, "tasks": entries}))
    return path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A model trained for three steps, exported as ``mine``, with words for its card."""
    trained(tmp_path / "run")
    use_bundle(monkeypatch, tmp_path)
    words = dict.fromkeys(("summary", "commands", "evaluation", "licence", "limits", "heard"), "Words.")
    monkeypatch.setattr(card, "NOTES", tmp_path)
    (tmp_path / "mine.yaml").write_text(json.dumps(words))
    return export.export(tmp_path / "run", "mine", tmp_path, licence="CC0-1.0", hardware="a shed")


def shares_drawn(text: str) -> list[int]:
    """By kind, of the real crops: what the corpus lacks of a recipe's shares goes to the other kinds."""
    [line] = [line for line in text.splitlines() if line.startswith("- drawn: ")]
    return [int(share) for share in re.findall(r"(\d+)%", line.split(" of the real crops")[0])]


def test_the_card_says_what_the_files_say(tmp_path: Path, model: dict[str, Any]) -> None:
    ours = result(tmp_path, "hear_audioformer.msm_mae", model["sha256"], {"word_de": 0.5, "word_xx": 0.7, "drum": 0.4})
    other = result(tmp_path, "x.logmel", "0", {"word_de": 0.2, "word_xx": 0.3, "drum": 0.45})
    told = CliRunner().invoke(card.main, ["mine", str(ours), "--against", str(other)])
    assert told.exit_code == 0, told.output
    text = (tmp_path / "mine.md").read_text()
    assert model["sha256"] in text
    assert "3 steps of 4 crops: 12 crops" in text
    assert "on a shed, 32-true" in text
    assert sum(shares_drawn(text)) == pytest.approx(100, abs=1)
    assert "| task | mine | logmel |" in text
    assert "| drum | 40.0 (30.0 to 50.0) | 45.0 (35.0 to 55.0) |" in text
    assert "| word | 60.0 (" in text  # the mean of its halves
    assert "| mean | 50.0 (" in text
    assert "| tasks won | | 1 of 2 |" in text
    assert (tmp_path / "mine.png").stat().st_size > 1000


def test_a_codec_is_told_by_its_examination(
    tmp_path: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    report: dict[str, Any] = {
        "perplexity": [400.4, 300.0], "commonest": [0.01, 0.05], "errors": {"1": 1.0, "2": 0.75},
        "unquantised": 0.7, "stable": 0.95,
        "probe": {"histograms": 0.5}, "task": "drum", "codebook_hash": "abc",
        "verdicts": {"codebooks are used": True, "every codebook helps": False},
    }  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(report))
    heard = {"codebook_hash": "abc", "format": "ogg", "clips": {"crow": {"1": 1.25, "2": 0.5}}}
    (tmp_path / "heard").mkdir()
    (tmp_path / "heard" / "heard.json").write_text(json.dumps(heard))
    words = ["mine", str(tmp_path / "report.json"), "--heard", str(tmp_path / "heard")]
    for found, code in (("abc", 0), ("other", 1)):
        codec = SimpleNamespace(codebook_hash=lambda found=found: found)
        monkeypatch.setattr(weights, "load_network", lambda path, codec=codec: (codec, None))
        assert CliRunner().invoke(card.main, words).exit_code == code
    text = (tmp_path / "mine.md").read_text()
    assert "| perplexity of codebooks 1, 2, ... | 400, 300 |" in text
    assert "| log-mel distance of 1, 2 codebooks | 1.000, 0.750 |" in text
    assert "| every codebook helps? | no |" in text
    assert "| codebooks | none | 1 | 2 |\n|---|---|---|---|\n" in text
    assert "| crow | [original](heard/crow.ogg) | [1.250](heard/crow-1.ogg) | [0.500](heard/crow-2.ogg) |" in text
    (tmp_path / "heard" / "heard.json").write_text(json.dumps({**heard, "codebook_hash": "other"}))
    monkeypatch.setattr(weights, "load_network", lambda path: (SimpleNamespace(codebook_hash=lambda: "abc"), None))
    assert "other weights" in CliRunner().invoke(card.main, words).output


def test_what_was_drawn() -> None:
    labelled = card.batches(Data(mixtures=MixtureConfig(shares=(2, 1, 1))))
    assert labelled == "mixtures of labelled sources, 50% of 1, 25% of 2, 25% of 3"
    crops = card.batches(Data(shares={"speech": 0.6, "music": 0.2}, synthetic=0.1))
    assert crops == "speech 75%, music 25% of the real crops; 10% of all crops synthetic"


def test_a_validation_score_is_told(tmp_path: Path, model: dict[str, Any]) -> None:
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    (tmp_path / "run" / "log.jsonl").write_text(
        "\n".join([json.dumps({**json.loads(log[0]), "valid_map": 0.25}), *log[1:]]) + "\n"
    )
    found = export.export(tmp_path / "run", "mine", tmp_path, licence="CC0-1.0", hardware="a shed")
    ours = result(tmp_path, "hear_audioformer.msm_mae", found["sha256"], {"drum": 0.4})
    assert CliRunner().invoke(card.main, ["mine", str(ours)]).exit_code == 0
    assert "- validation: mean average precision 0.2500" in (tmp_path / "mine.md").read_text()


def test_results_of_other_weights_are_refused(tmp_path: Path, model: dict[str, Any]) -> None:
    stale = result(tmp_path, "hear_audioformer.msm_mae", "another", {"drum": 0.4})
    told = CliRunner().invoke(card.main, ["mine", str(stale)])
    assert told.exit_code == 1
    assert "is of other weights than" in told.output
    assert not (tmp_path / "mine.md").exists()
