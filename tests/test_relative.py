"""Which row of a table a query and a key get, and that both tables are added as distances say."""

from fractions import Fraction
from math import floor

import pytest
import torch

from hear_audioformer.mast.positions import Axis, RelativePositions, resize

UNEVEN = [(12, 2, 3), (12, 3, 2), (11, 2, 3), (7, 3, 2), (8, 2, 3), (1, 3, 2), (10, 3, 4)]  # neither stride divides


def test_rows_are_distances_of_centres() -> None:
    """Eight cells, a key for each four: keys stand at cells 0 and 4, and row 4 means no distance."""
    axis = Axis(8, 1, 4)
    assert axis.counts(8) == (8, 2)
    assert axis.rows == 15
    assert axis.clamped(8).tolist() == [[4 + a, a] for a in range(8)]


def test_distances_beyond_training_get_the_largest_ones_row() -> None:
    table = Axis(8, 1, 4).clamped(16)
    assert table.shape == (16, 4)
    assert table.min() == 0
    assert table.max() == 11  # 7 cells behind the first key: the largest that training saw
    assert table[:, 1].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 11, 11]


def test_a_step_means_the_same_at_any_length() -> None:
    """Where the last key is a partial one, the ratio of the grids is no longer that of the strides."""
    axis = Axis(256, 1, 4)
    short, full = axis.clamped(250), axis.clamped(256)
    assert torch.equal(short, full[:250, :63])
    assert not torch.equal(axis.stretched(250)[0] - axis.stretched(250)[0, 0], full[0, :63] - full[0, 0])


@pytest.mark.parametrize(
    ("cells", "query", "key"), [(5, 2, 1), (7, 2, 1), (8, 1, 4), (6, 1, 4), (9, 2, 4), (1, 2, 4), *UNEVEN]
)
def test_stretched_rows_are_the_libraries_formula(cells: int, query: int, key: int) -> None:
    axis = Axis(cells, query, key)
    queries, keys = axis.counts(cells)
    over, under = max(Fraction(keys, queries), Fraction(1)), max(Fraction(queries, keys), Fraction(1))
    wanted = [[floor(a * over - b * under + (keys - 1) * under) for b in range(keys)] for a in range(queries)]
    assert axis.stretched(cells).tolist() == wanted


@pytest.mark.parametrize(("query", "key"), [(2, 3), (3, 2)])
def test_strides_that_share_no_step_count_whole_steps_of_the_finer(query: int, key: int) -> None:
    """Where both divide the grid, that is the libraries' formula; and at other lengths a step means the same."""
    axis = Axis(12, query, key)
    assert torch.equal(axis.clamped(12), axis.stretched(12))
    short, full = axis.clamped(7), axis.clamped(12)
    assert torch.equal(short, full[: len(short), : short.shape[1]])
    zero = key * (axis.counts(12)[1] - 1)
    wanted = [[(query * a - key * b + zero) // 2 for b in range(short.shape[1])] for a in range(len(short))]
    assert short.tolist() == wanted


@pytest.mark.parametrize("cells", [1, 2, 5, 8, 250, 1000])
@pytest.mark.parametrize("strides", [(1, 1), (1, 4), (2, 1), (2, 4), (2, 3), (3, 2), (3, 4), (5, 3)])
def test_every_row_exists(cells: int, strides: tuple[int, int]) -> None:
    axis = Axis(8, *strides)
    assert 0 <= axis.clamped(cells).min() <= axis.clamped(cells).max() < axis.rows
    assert 0 <= axis.stretched(cells).min() <= axis.stretched(cells).max() < 2 * max(axis.counts(cells)) - 1


@pytest.mark.parametrize("positions", ["clamp", "stretch"])
def test_both_tables_are_added(positions: str) -> None:
    frequency, time = Axis(4, 1, 2), Axis(6, 2, 1)
    relative = RelativePositions(3, (frequency, time), positions)  # type: ignore[arg-type]
    torch.manual_seed(0)
    with torch.no_grad():
        relative.frequency.normal_()
        relative.time.normal_()
        q = torch.randn(2, 2, 4 * 4, 3)
        found = relative(q, (4, 7))  # seven cells where six were trained: four queries, seven keys
        table = resize(relative.time, 13) if positions == "stretch" else relative.time
    rows = frequency.clamped(4)
    columns = time.clamped(7) if positions == "clamp" else time.stretched(7)
    assert found.shape == (2, 2, 16, 2 * 7)
    for f, t, g, s in [(0, 0, 0, 0), (3, 3, 1, 6), (1, 2, 0, 3), (2, 0, 1, 5)]:
        query = q[1, 1, 4 * f + t]
        wanted = query @ relative.frequency[rows[f, g]] + query @ table[columns[t, s]]
        assert torch.allclose(found[1, 1, 4 * f + t, 7 * g + s], wanted, atol=1e-5)
