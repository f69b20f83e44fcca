"""The timing command: who is compared with whom, which rounds count, what is counted. The times are not tested."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from evaluation.baselines import ast
from evaluation.reports.speed import __main__ as command
from evaluation.reports.speed import cells, clock, contenders, flops, page, peers, record, references
from hear_audioformer import mast, msm_mae
from hear_audioformer.embedder import Embedder

CPU = torch.device("cpu")
OPTIONS = ["--size", "tiny", "--frames", "128", "--rounds", "1", "--seconds", "0.5", "--batch", "2"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mast.SIZES, "tiny", (8, (1, 1, 1, 1)))
    monkeypatch.setitem(ast.SIZES, "tiny", (12, 1, 1))
    monkeypatch.setitem(msm_mae.SIZES, "tiny", (16, 2, 2))
    monkeypatch.setattr(clock, "TOKENS", 8)
    monkeypatch.setattr(clock, "WIDTH", 8)


def test_median_of_the_rounds_counts_and_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    took = {"slow": [0.1, 9.0, 7.0, 8.0], "fast": [0.1, 2.0, 5.0, 1.0]}
    order: list[str] = []

    def run(name: str) -> None:
        nonlocal now
        now += took[name][order.count(name)]
        order.append(name)

    monkeypatch.setitem(clock.CLOCKS, "wall", lambda: now)
    runs = {"slow": lambda: run("slow"), "fast": lambda: run("fast")}
    medians = clock.medians(clock.seconds_of_rounds(runs, 3, CPU))
    assert medians == pytest.approx({"slow": 8.0, "fast": 2.0})
    assert order == ["slow", "fast"] * 4


def test_mast_is_compared_with_ast_of_its_precision() -> None:
    made = contenders.of_method("mast", "tiny", CPU, ("fp32", "bf16"), 128)
    assert {name: contender.against for name, contender in made.items()} == {
        "ast-tiny fp32": "ast-tiny fp32",
        "mast-tiny fp32": "ast-tiny fp32",
        "mast-tiny without relative positions fp32": "ast-tiny fp32",
        "ast-tiny bf16": "ast-tiny bf16",
        "mast-tiny bf16": "ast-tiny bf16",
        "mast-tiny without relative positions bf16": "ast-tiny bf16",
    }
    result = CliRunner().invoke(command.main, ["mast", *OPTIONS, "--json"])
    assert result.exit_code == 0, result.output
    [line] = [json.loads(line) for line in result.output.splitlines()]
    assert line["batch"] == 2
    assert set(line["clips_per_second"]) == {name for name in made if name.endswith("fp32")}
    assert all(rate > 0 for rate in line["clips_per_second"].values())


def test_a_page_and_a_picture_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written, picture = tmp_path / "speed.md", tmp_path / "speed.png"
    written.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    files = ["--page", str(written), "--picture", str(picture)]
    result = CliRunner().invoke(command.main, ["msm-mae", *OPTIONS, *files, "--timestamps"])
    assert result.exit_code == 0, result.output
    text = written.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| model | 2 x 0.5 s |" in text
    for name in (
        "authors' path fp32",
        "msm-mae-tiny fp32",
        "msm-mae-tiny fp32 to authors' path fp32",
        "a window per timestamp fp32",
    ):
        assert f"| {name} |" in text
    assert picture.stat().st_size > 1000


def test_a_record_keeps_cells_and_measures_what_is_missing(tmp_path: Path) -> None:
    kept, written = tmp_path / "record.jsonl", tmp_path / "speed.md"
    first = CliRunner().invoke(command.main, ["msm-mae", *OPTIONS, "--record", str(kept)])
    assert "| 0.5 s | 2 | msm-mae-tiny fp32 |" in first.output, first.output
    lines = kept.read_text()
    again = CliRunner().invoke(command.main, ["msm-mae", *OPTIONS, "--seconds", "1", "--record", str(kept)])
    assert "| 1 s | 2 | msm-mae-tiny fp32 |" in again.output, again.output
    assert "| 0.5 s |" not in again.output
    assert kept.read_text().startswith(lines)
    shown = CliRunner().invoke(command.main, ["--record", str(kept), "--page", str(written)])
    assert shown.exit_code == 0, shown.output
    assert "| 0.5 s |" not in shown.output
    assert "| model | 2 x 0.5 s | 2 x 1 s |" in written.read_text()


def test_a_cell_with_more_contenders_replaces_the_old_one(tmp_path: Path) -> None:
    def cell(seconds: float, *names: str) -> record.Cell:
        rows = tuple(cells.Row(name, seconds, 1, 1.0, 1.0, name, 0.5) for name in names)
        return record.Cell("g", seconds, 1, 3, "a machine", 0.5, rows)

    old, other, new = cell(1.0, "a"), cell(2.0, "a"), cell(1.0, "a", "b")
    assert old.holds("g", 1.0, 1, ["a"])
    assert not old.holds("g", 1.0, 1, ["a", "b"])
    assert record.merged([old, other], new) == [other, new]
    record.write(tmp_path / "r.jsonl", [other, new])
    assert record.read(tmp_path / "r.jsonl") == [other, new]


def test_clips_that_a_peer_would_cut_are_not_given_to_it() -> None:
    made = {
        "whole": contenders.Contender(lambda audio: audio, "whole"),
        "cut": contenders.Contender(lambda audio: audio, "whole", longest=10.0),
    }
    assert cells.runnable(made, 10.0) == ["whole", "cut"]
    assert cells.runnable(made, 10.5) == ["whole"]


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("prose")
    with pytest.raises(ValueError, match="no lines"):
        page.write(tmp_path / "x.md", "figures")
    assert (tmp_path / "x.md").read_text() == "prose"


def test_a_missing_peer_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> contenders.Run:
        raise ImportError("No module named 'timm'\nand more")

    monkeypatch.setattr(peers, "timm_vit", missing)
    made, lines = contenders.of_peers("msm-mae", "tiny", CPU)
    assert made == {}
    assert lines == ["timm's ViT-tiny: not measured, No module named 'timm'"]


def test_timms_vit_has_our_tokens() -> None:
    pytest.importorskip("timm", exc_type=ImportError)
    scene = peers.timm_vit("tiny", 128, CPU, torch.float32)
    encoder = contenders.encoder_of("msm-mae", "tiny", frames=128)
    audio = torch.randn(1, 40000)
    ours = flops.flops_of(lambda: Embedder(encoder).scene(audio))
    assert flops.flops_of(lambda: scene(audio)) == pytest.approx(ours, rel=0.02)


def test_flops_are_those_of_all_windows_with_attention() -> None:
    """By hand, of a clip of one full window: the front end, the patches, and two blocks."""
    encoder = contenders.encoder_of("msm-mae", "tiny", frames=128)
    frames, tokens, width = 128, 41, 16
    audio = torch.zeros(1, 160 * (frames - 1))
    blocks = 2 * (2 * tokens * width * (4 + 8) * width + 2 * 2 * tokens**2 * width)
    wanted = 2 * frames * 201 * 80 + 2 * 40 * 256 * width + blocks
    assert flops.flops_of(lambda: Embedder(encoder).scene(audio)) == wanted


def test_a_share_is_of_the_fastest_products_of_its_precision() -> None:
    took = {"products fp32": 2.0, "products by oneDNN fp32": 1.0, "products bf16": 0.5, "model fp32": 0.1}
    assert cells.peak_of(took, "fp32", 100) == 100.0
    assert cells.peak_of(took, "bf16", 100) == 200.0


def test_a_window_per_timestamp_has_our_timestamps() -> None:
    encoder = contenders.encoder_of("msm-mae", "tiny", frames=128)
    embedder = Embedder(encoder, hop_ms=40)
    audio = torch.randn(2, 16000)
    theirs = references.window_per_timestamp(embedder, audio)
    ours = embedder.timestamps(audio)[0]
    assert theirs.shape[::2] == ours.shape[::2]
    assert abs(theirs.shape[1] - ours.shape[1]) <= 1


def test_a_compiled_encoder_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def compile_(function: contenders.Run) -> object:
        return lambda *args: called.append(1) or function(*args)

    monkeypatch.setattr(torch, "compile", compile_)
    encoder = contenders.encoder_of("msm-mae", "tiny", frames=128)
    audio = torch.randn(1, 8000)
    wanted = Embedder(encoder).scene(audio)
    assert torch.equal(contenders.compiled(encoder)(audio), wanted)
    assert called
