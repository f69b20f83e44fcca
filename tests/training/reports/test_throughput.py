"""The report on training speed: it runs the loop's own steps, and counts the hours of the whole schedule."""

import pytest
from click.testing import CliRunner

from training.recipe import read_recipe
from training.reports import throughput


def test_hours_are_those_of_the_published_schedule() -> None:
    recipe = read_recipe("msm-mae-paper", [])
    lines = list(throughput.lines_of(recipe, rate=1000.0, flops=2e9, peak=4e12, processes=2))
    assert lines[0] == "2 processes, 1e+03 crops/s, MFU 25.0%, 2 GFLOPs a crop"
    assert "| msm-mae-base, 100 epochs, at this rate | this machine | 55.6 |" in [
        line.replace(recipe.name, "msm-mae-base") for line in lines
    ]
    assert "| EAT, as published | RTX 3090 | 230 |" in lines


def test_the_command_times_a_small_recipe() -> None:
    changes = ["encoder.size=tiny", "objective.depth=1", "loop.batch=2", "loop.accumulate=1", "precision=32-true"]
    result = CliRunner().invoke(throughput.main, ["msm-mae-open", *changes, "--steps", "1"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 process, ")
    assert "BEATs" in result.output


def test_a_recipe_on_codes_is_refused() -> None:
    result = CliRunner().invoke(throughput.main, ["audioformer-open", "--steps", "1"])
    assert result.exit_code != 0


@pytest.mark.parametrize("name", ["msm-mae-paper", "asit-paper"])
def test_paper_recipes_have_a_schedule(name: str) -> None:
    recipe = read_recipe(name, [])
    assert recipe.published.clips
    assert recipe.loop.steps * recipe.loop.batch >= recipe.published.clips
