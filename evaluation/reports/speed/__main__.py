"""Measures the throughput of models side by side in one process.

    python -m evaluation.reports.speed
    python -m evaluation.reports.speed msm-mae mast --peer all --record results/speed.jsonl --page docs/speed.md

MSM-MAE runs beside a re-implementation of the authors' path, MAST beside the AST of the same size on our layers. With
``--peer`` they run beside models of other packages. All weights are random. Rounds alternate, and the median round of
each counts. Matrix products run in the same rounds: a share of the peak is a model's FLOP/s to theirs. ``--record``
keeps cells, so that a long table can be measured in pieces. On a busy machine ``--clock cpu`` counts this process's
own seconds; use one thread then.
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import click
import torch

from hear_audioformer.embedder import Precision

from .cells import HEADER, line_of, rows_of, runnable
from .clock import CLOCKS, seconds_of_process
from .contenders import METHODS, PEERS, Contenders, of_compiled, of_method, of_peers, of_timestamps
from .page import draw, sections
from .page import write as write_page
from .record import Cell, load_now, machine_line, merged, read
from .record import write as write_record

START = "import hear_audioformer, numpy; hear_audioformer.embed(numpy.zeros(80000, 'f4'), sample_rate=16000)"


def contenders_of(
    methods: tuple[str, ...],
    sizes: tuple[str, ...],
    device: torch.device,
    frames: int | None,
    peers: tuple[str, ...],
    **chosen: bool,
) -> Iterator[tuple[str, Contenders, list[str]]]:
    """A group of contenders after another, with its name: rounds alternate within a group."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16") if chosen["bf16"] else ("fp32",)
    for method in methods:
        for size in sizes:
            made = of_method(method, size, device, precisions, frames)
            missing: list[str] = []
            if chosen["compiled"]:
                made |= of_compiled(method, size, device, frames)
            if peers:
                packages = PEERS if "all" in peers else peers
                others, missing = of_peers(method, size, device, precisions, frames, packages)
                made |= others
            yield f"{method}-{size}", made, missing
    if chosen["timestamps"]:
        for size in sizes:
            yield f"timestamps at 40 ms, msm-mae-{size}", of_timestamps(size, device, frames), []


def starts() -> str:
    """CPU seconds to the first vector of a 5-s clip, beside those of ``import torch``."""
    codes = {"import torch": "import torch", "embed a 5-s clip": START}
    took = {name: min(seconds_of_process(code) for _ in range(3)) for name, code in codes.items()}
    torch_alone, ours = took.values()
    factor = ours / torch_alone
    return f"Start to the first vector of a 5-s clip: {ours:.2f} s, {factor:.2f}x `import torch` ({torch_alone:.2f} s)."


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("methods", nargs=-1, type=click.Choice(METHODS))
@click.option("--size", "sizes", default=("base",), multiple=True, show_default=True, help="Repeatable.")
@click.option("--frames", type=int, help="Frames of a window.  [default: 512 for MSM-MAE, 1024 for MAST]")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=(10.0, 2.0), multiple=True, show_default=True, help="Length of a clip; repeatable.")
@click.option("--batch", default=(1,), multiple=True, show_default=True, help="Clips in a call; repeatable.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True, help="Whose seconds.")
@click.option("--bf16", is_flag=True, help="Also in bf16, which is slow on a CPU without instructions for it.")
@click.option("--compiled", is_flag=True, help="Also behind torch.compile, which takes a minute to warm up.")
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice([*PEERS, "all"]), help="Also a package's; repeatable."
)
@click.option("--timestamps", is_flag=True, help="Also timestamps at 40 ms, and hear21passt's way to them.")
@click.option("--start", is_flag=True, help="Also the start of a process.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep cells in this file of JSON lines, and measure none that it has; page and picture show all of it.",
)
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Write the table into a page.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the rates.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def main(
    methods: tuple[str, ...],
    sizes: tuple[str, ...],
    frames: int | None,
    rounds: int,
    seconds: tuple[float, ...],
    batch: tuple[int, ...],
    device: str,
    clock: str,
    bf16: bool,
    compiled: bool,
    peers: tuple[str, ...],
    timestamps: bool,
    start: bool,
    record: Path | None,
    page: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Prints clips per second of METHODS, of their references and of other packages; by default MSM-MAE and MAST."""
    where = torch.device(device)
    chosen = {"bf16": bf16, "compiled": compiled, "timestamps": timestamps}
    methods = methods or (() if timestamps or start or record else ("msm-mae", "mast"))
    cells = read(record) if record else []
    machine = machine_line(where, clock)
    notes: list[str] = []
    if not as_json:
        click.echo(HEADER)
    for group, made, missing in contenders_of(methods, sizes, where, frames, peers, **chosen):
        notes += [line for line in missing if line not in notes]
        for length, clips in product(seconds, batch):
            if any(cell.holds(group, length, clips, runnable(made, length)) for cell in cells):
                continue
            load = load_now()
            rows = tuple(rows_of(made, length, clips, rounds, where, clock))
            cells = merged(cells, Cell(group, length, clips, rounds, machine, load, rows))
            if record:
                write_record(record, cells)
            if as_json:
                rates = {row.name: row.rate for row in rows}
                click.echo(json.dumps({"seconds": length, "batch": clips, "clips_per_second": rates}))
            else:
                click.echo("\n".join(map(line_of, rows)))
    if start:
        notes.append(starts())
    if not as_json:
        click.echo("\n".join(["", f"{machine}; medians of {rounds} rounds.", *notes]))
    if page:
        write_page(page, sections(cells, notes))
    if picture:
        draw(picture, cells)


if __name__ == "__main__":
    main()
