"""The claims: MAST's parameters and products beside AST's, by both rules; and that the counter sees what it should."""

import pytest
from click.testing import CliRunner

from evaluation.baselines import ast
from evaluation.reports.cost import Cost, contenders, cost, main
from hear_audioformer import mast


def made(name: str) -> Cost:
    return cost(contenders()[name])


def test_yardstick_is_ast() -> None:
    """AST-base as published: 1214 tokens, 86.6 M parameters with 527 classes."""
    measured = made("ast-base")
    assert round(measured.parameters / 1e6, 2) == 86.59
    assert round(measured.products / 1e9, 2) == 130.51
    assert round(measured.outside / 1e9, 2) == 103.35


@pytest.mark.parametrize(
    ("size", "parameters", "products"), [("nano", 1.35, 1.01), ("tiny", 10.79, 5.53), ("small", 34.68, 17.59)]
)
def test_sizes(size: str, parameters: float, products: float) -> None:
    measured = made(f"mast-{size}")
    assert round(measured.parameters / 1e6, 2) == parameters
    assert round(measured.products / 1e9, 2) == products


def test_claims() -> None:
    """42 % fewer parameters and a fifth of the products, under every rule of counting."""
    yardstick, measured = made("ast-base"), made("mast-base")
    assert measured.parameters <= 0.58 * yardstick.parameters
    assert 5 * measured.products <= yardstick.products
    assert 5 * measured.outside <= yardstick.outside


def test_both_rules_by_hand() -> None:
    """A block of width d over n tokens: 12 n d^2 with weights, 2 n^2 d inside attention."""
    width, depth, classes = 24, 3, 5
    measured = cost(lambda: ast.Ast(ast.Config(width=width, depth=depth, heads=2)), classes=classes)
    patches = 12 * 101
    tokens = patches + 2
    outside = depth * 12 * tokens * width**2 + patches * 256 * width + width * classes
    assert measured.outside == outside
    assert measured.products == outside + depth * 2 * tokens**2 * width


def test_shorter_input_costs_less() -> None:
    config = mast.Config(width=8, depths=(1, 1, 1, 1))
    assert cost(lambda: mast.Mast(config), 400).products < 0.5 * cost(lambda: mast.Mast(config), 1000).products


def test_command_prints_every_model() -> None:
    result = CliRunner().invoke(main, ["mast"])
    assert result.exit_code == 0, result.output
    assert "| mast-base | 49.11 | 56.7% | 23.30 | 5.60x | 19.97 | 5.17x |" in result.output
    assert all(f"| {name} |" in result.output for name in contenders())
