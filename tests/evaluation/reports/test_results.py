"""The page of results, from files that the scorer wrote: what is compared with what, and what the page says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from evaluation import probe
from evaluation.reports import compare, results
from evaluation.scoring.embeddings import Model
from evaluation.suites.open import perturb
from tests.evaluation import stand_in, toy

ROOT = Path(__file__).parents[3]
HEADS = (
    "model",
    "mean",
    "mean of kNN",
    "parameters",
    "dims",
    "scores",
    "wins : losses",
    "task",
    "score",
    "groups",
    "chance",
)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on a suite and on the suite in noise."""
    base = tmp_path_factory.mktemp("results")
    tasks = base / "toys" / "tasks"
    toy.tones(tasks, "folds", toy.FOLDS)
    toy.tones(tasks, "tones")
    made = CliRunner().invoke(
        perturb.main, [str(tasks), str(base / "toys-white-10"), "--snr", "-10", "--noise", "white"]
    )
    assert made.exit_code == 0, made.output
    for name, scale in (("default", 1.0), ("twice", 2.0)):
        model = Model(stand_in.__name__, options={} if name == "default" else {"scale": scale})
        for suite in ("toys", "toys-white-10"):
            probe.run(base / suite / "tasks", model, base / "out", command=f"probe {name}")
    return base / "out"


@pytest.fixture
def folder(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "out"))


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(results.main, [str(folder), "-o", str(folder / "page.md"), *words])


def rows(page: str) -> dict[str, list[str]]:
    """Cells by the first of them, of the last table that has it."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def change(folder: Path, model: str, suite: str = "toys", **content: Any) -> None:
    """Another module's name, or other tasks, in a file of results."""
    [file] = folder.glob(f"*/{model}/{suite}.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **content}))


def tasks_of(folder: Path, model: str, suite: str = "toys") -> dict[str, Any]:
    [file] = folder.glob(f"*/{model}/{suite}.json")
    return json.loads(file.read_text())["tasks"]


def test_the_page_has_every_model_and_task_with_its_interval(folder: Path) -> None:
    done = call(folder)
    assert done.exit_code == 0, done.output
    page = (folder / "page.md").read_text()
    cells = rows(page)
    for task, line in tasks_of(folder, "default").items():
        half = compare.Interval.of(line["value"], line["error"], line["degrees"]).high - line["value"]
        assert cells[task][:3] == ["accuracy", "16" if task == "folds" else "4", "33.3"]
        assert cells[task][3].strip("*") == f"{100 * line['value']:.1f} ± {100 * half:.1f}"
    assert "`probe default`" in page
    assert "torch" in page
    assert (folder / "page.png").stat().st_size > 10_000


def skeleton(page: str) -> list[str]:
    """What a page is made of, without names and figures: prose, and of each table its columns' kinds."""
    kept = []
    for line in page.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            cells = [cell.strip() for cell in line.strip("| ").split("|")]
            heads = [cell for cell in cells if cell in HEADS]
            kept += [" ".join(heads)] if heads else []
        elif line.startswith("- "):
            kept += [] if kept[-1] == "- model" else ["- model"]
        elif line and not line.startswith(("| ---", "Made by", "## ", "![")):
            kept.append(line)
    return kept


def test_the_page_of_the_documentation_has_the_layout_of_the_command(folder: Path) -> None:
    for name in ("default", "default-scale=2.0"):
        change(folder, name, module=f"evaluation.baselines.{name[:7]}")
    call(folder, "--no-picture")
    made, stored = (folder / "page.md").read_text(), (ROOT / "docs" / "generated" / "results.md").read_text()
    assert skeleton(made) == skeleton(stored)
    assert len(skeleton(made)) > 10


def test_the_drop_in_noise_is_a_column(folder: Path) -> None:
    call(folder, "--no-picture")
    page = (folder / "page.md").read_text()
    head = next(line for line in page.splitlines() if line.startswith("| model"))
    assert "| drop with white-10 |" in head
    clean, noisy = tasks_of(folder, "default"), tasks_of(folder, "default", "toys-white-10")
    assert sorted(noisy) == [*(f"folds_fold{n:02}_whitem10" for n in range(4)), "tones_whitem10"]
    folds = sum(line["value"] for name, line in noisy.items() if name.startswith("folds")) / 4
    lost = (clean["folds"]["value"] - folds + clean["tones"]["value"] - noisy["tones_whitem10"]["value"]) / 2
    assert lost > 0.1
    column = [cell.strip() for cell in head.split("|")].index("drop with white-10")
    line = next(line for line in page.splitlines() if line.startswith(f"| {stand_in.__name__} |"))
    assert line.split("|")[column].strip() == f"{100 * lost:.1f}"
    assert "## toys-white-10" not in page


def test_a_drop_in_some_tasks_names_them(folder: Path) -> None:
    for name in {result.content["name"] for result in compare.read(folder) if result.suite == "toys-white-10"}:
        noisy = tasks_of(folder, name, "toys-white-10")
        change(folder, name, "toys-white-10", tasks={"tones_whitem10": noisy["tones_whitem10"]})
    call(folder, "--no-picture")
    head, line = (
        next(row for row in (folder / "page.md").read_text().splitlines() if row.startswith(start)).split("|")
        for start in ("| model", f"| {stand_in.__name__} |")
    )
    clean, noisy = tasks_of(folder, "default"), tasks_of(folder, "default", "toys-white-10")
    lost = clean["tones"]["value"] - noisy["tones_whitem10"]["value"]
    assert line[head.index(" drop with white-10 in tones ")].strip() == f"{100 * lost:.1f}"


def test_a_drop_needs_the_tasks_that_others_have(folder: Path) -> None:
    noisy = tasks_of(folder, "default", "toys-white-10")
    noisy.pop("tones_whitem10")
    change(folder, "default", "toys-white-10", tasks=noisy)
    clean, other = (r for r in compare.read(folder) if r.content["name"] == "default")
    clean, other = sorted((clean, other), key=lambda r: r.suite)
    assert compare.drop(clean, other, ["folds", "tones"]) is None
    assert compare.drop(clean, other, ["folds"]) is not None


def test_names_of_tasks_that_begin_alike_are_told_apart() -> None:
    def result(values: dict[str, float]) -> compare.Result:
        return compare.Result({"tasks": {name: {"value": value} for name, value in values.items()}})

    clean = result({"word": 0.9, "word_de": 0.5})
    noisy = result({"word_pink10": 0.7, "word_de_fold00_pink10": 0.1, "word_de_fold01_pink10": 0.3})
    assert compare.drop(clean, noisy, ["word", "word_de"]) == pytest.approx((0.2 + 0.3) / 2)


def test_better_on_the_same_draws_is_a_win(folder: Path) -> None:
    """By differences of paired draws: half of one model's hits taken away."""
    tasks = tasks_of(folder, "default-scale=2.0")
    for line in tasks.values():
        columns = line["columns"]
        columns["predicted"] = [p if n % 2 else 9 for n, p in enumerate(columns["predicted"])]
        line["value"] = sum(a == b for a, b in zip(columns["truth"], columns["predicted"], strict=True)) / len(
            columns["truth"]
        )
    change(folder, "default-scale=2.0", module="evaluation.baselines.worse", tasks=tasks)
    first, second = (r for r in compare.read(folder) if r.suite == "toys")
    assert second.is_baseline
    assert compare.tally(first, second) == compare.Tally(2, 0, 0)
    assert compare.tally(second, first) == compare.Tally(0, 2, 0)
    assert compare.tally(first, first) == compare.Tally(0, 0, 2)
    page = results.page(compare.read(folder), folder / "page.md", picture=False)
    assert "against worse default-scale=2.0" in page
    assert "| 2 : 0 |" in page


def test_a_difference_is_that_of_the_same_draws(folder: Path) -> None:
    """A model less itself is zero in every draw, however uncertain its score."""
    tasks = tasks_of(folder, "default")
    columns = tasks["folds"]["columns"]
    columns["predicted"] = [p if n % 5 else 9 for n, p in enumerate(columns["predicted"])]
    change(folder, "default-scale=2.0", tasks=tasks)
    first, second = sorted((r for r in compare.read(folder) if r.suite == "toys"), key=lambda result: result.label)
    assert compare.difference(first, second, "folds").error > 0.01
    assert compare.difference(second, second, "folds").error == 0


def test_other_test_clips_are_not_compared(folder: Path) -> None:
    tasks = tasks_of(folder, "default")
    tasks["tones"]["columns"]["truth"][0] = 2
    change(folder, "default", tasks=tasks)
    first, second = (r for r in compare.read(folder) if r.suite == "toys")
    with pytest.raises(compare.ResultsError, match=r"tones: .* different test clips"):
        compare.tally(first, second)


def test_a_model_without_all_tasks_has_no_mean(folder: Path) -> None:
    change(folder, "default", tasks={"tones": tasks_of(folder, "default")["tones"]})
    page_lines = [line for line in results.page(compare.read(folder), folder / "p.md", picture=False).splitlines()]
    assert any(line.startswith(f"| {stand_in.__name__} | 1 of 2 tasks | - |") for line in page_lines)
    assert any(line.startswith("| folds | accuracy | 16 | 33.3 | - |") for line in page_lines)


def test_suites_and_those_that_are_them_perturbed() -> None:
    suites = ("open-suite", "open-suite-pink10", "open-suite-reverb", "dev-suite", "open-suites")
    originals = results.originals([compare.Result({"suite": suite}) for suite in suites])
    assert originals == {
        "dev-suite": [],
        "open-suite": ["open-suite-pink10", "open-suite-reverb"],
        "open-suites": [],
    }


@pytest.mark.parametrize(
    ("module", "name", "head", "label"),
    [
        ("hear_audioformer.msm_mae", "tiny", "linear", "tiny"),
        ("hear_audioformer", "default", "linear", "default"),
        ("evaluation.baselines.logmel", "default", "linear", "logmel"),
        ("training.untrained", "tiny-seed=1", "mlp", "untrained tiny-seed=1 (MLP)"),
        ("somebodys.module", "default", "linear", "somebodys.module"),
    ],
)
def test_labels(module: str, name: str, head: str, label: str) -> None:
    assert compare.Result({"module": module, "name": name, "head": head}).label == label


def test_what_cannot_be_shown_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = call(tmp_path / "empty")
    assert empty.exit_code == 1
    assert "holds no results; `python -m evaluation.probe" in empty.output
    unknown = call(folder, "--baseline", "wav2vec")
    assert unknown.exit_code == 1
    assert "no results of wav2vec; there are" in unknown.output
    change(folder, "default", format=0)
    old = call(folder)
    assert old.exit_code == 1
    assert "has format 0" in old.output


def test_what_one_file_has_over_another(folder: Path) -> None:
    [first_file], [second_file] = folder.glob("*/default/toys.json"), folder.glob("*/*scale*/toys.json")
    done = CliRunner().invoke(compare.main, [str(first_file), str(second_file)])
    assert done.exit_code == 0, done.output
    cells = rows(done.output)
    first, second = compare.read_file(first_file), compare.read_file(second_file)
    for task in ("folds", "tones"):
        gain = compare.difference(first, second, task)
        assert cells[task] == ["accuracy", *(i.per_cent() for i in (first.interval(task), second.interval(task), gain))]
    same = CliRunner().invoke(compare.main, [str(first_file), str(first_file)])
    assert rows(same.output)["tones"][3] == "0.0 (0.0 to 0.0)"


def test_half_of_the_files_stand_against_the_other_half(folder: Path) -> None:
    """Of runs by seed, the mean of both sides and of their paired differences."""
    [first_file], [second_file] = folder.glob("*/default/toys.json"), folder.glob("*/*scale*/toys.json")
    worse = folder / "worse.json"
    content = json.loads(first_file.read_text())
    for line in content["tasks"].values():
        columns = line["columns"]
        columns["predicted"] = [p if n % 2 else 9 for n, p in enumerate(columns["predicted"])]
        line["value"] -= 0.5
    worse.write_text(json.dumps(content))
    done = CliRunner().invoke(compare.main, [str(file) for file in (first_file, worse, second_file, second_file)])
    assert done.exit_code == 0, done.output
    a, b, c = map(compare.read_file, (first_file, worse, second_file))
    cells = rows(done.output)
    gains = {task: compare.mean_difference([(a, c), (b, c)], task) for task in ("folds", "tones")}
    for task, gain in gains.items():
        assert cells[task][3] == gain.per_cent()
        assert gain.value == pytest.approx(np.mean([compare.difference(x, c, task).value for x in (a, b)]))
        assert gain.error >= 0.25  # of two seeds that are 0.5 apart, the error of their mean
        assert cells[task][1] == compare.mean_score([a, b], task).per_cent()
    assert cells["mean of 2"][3] == compare.mean(gains).per_cent()
    odd = CliRunner().invoke(compare.main, [str(first_file), str(worse), str(second_file)])
    assert odd.exit_code == 2
    assert "name as many for the one side as for the other" in odd.output


def test_halves_of_a_task_count_as_one() -> None:
    scores = {"word_de": 0.2, "word_xx": 0.4, "drum": 0.9}
    parts = {task: compare.Interval.of(value, 0.1, 5) for task, value in scores.items()}
    assert list(compare.merged(parts)) == ["drum", "word"]
    assert compare.merged(parts)["word"].value == pytest.approx(0.3)
    assert compare.mean(parts).value == pytest.approx(0.6)
    lines = {
        task: {"value": value, "error": 0.1, "degrees": 5, "others": {"knn": {"value": value / 2}}}
        for task, value in scores.items()
    }
    result = compare.Result({"tasks": lines})
    assert result.mean(scores) == compare.mean(parts)
    assert result.mean_of_other("knn", scores) == pytest.approx(0.3)
    assert result.mean_of_other("mlp", scores) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is no file of results"), ("[1]", "has format None, this version reads"), ('{"format": 0}', "run it again")],
)
def test_files_that_cannot_be_compared(folder: Path, text: str, message: str) -> None:
    [file] = folder.glob("*/default/toys.json")
    broken = folder / "broken.json"
    broken.write_text(text)
    done = CliRunner().invoke(compare.main, [str(file), str(broken)])
    assert done.exit_code == 1
    assert message in done.output
    change(folder, "default", tasks={})
    done = CliRunner().invoke(compare.main, [str(file), str(file)])
    assert "have no task in common" in done.output
