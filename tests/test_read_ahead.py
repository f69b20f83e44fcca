"""Results come in order, a bounded number ahead."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from hear_audioformer.read_ahead import read_ahead


def test_results_come_in_order_and_few_items_are_taken() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = read_ahead(pool, lambda number: number**2, items(), 3)
        assert next(results) == 0
        assert taken == [0, 1, 2]
        assert list(results) == [number**2 for number in range(1, 10)]
