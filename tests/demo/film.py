"""The film strip of docs/demo.md: one visit of the page by headless Chromium, side by side in small."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from hear_audioformer.demo.shelf import Shelf
from hear_audioformer.demo.sound import Limits
from tests.demo.served import served
from tests.demo.visitor import Visitor

WIDTH = 620  # of a frame, in pixels
COLOURS = 256  # of the palette
MEGABYTES = 2.0  # that the page takes, so that a file that is too large is soon sent


def visit(visitor: Visitor, sound: Path, column: str, shoot: Callable[[], None]) -> None:
    """Sound dropped, self-similarity and nearest sounds, map, a point of it by a column, two models."""
    visitor.drop(sound)
    visitor.wait_for("#nearest audio", count=5)
    visitor.wait_for("#similarity img")
    shoot()
    visitor.scroll_to("#similarity")
    shoot()
    visitor.tab("Map")
    visitor.wait_for("#map-picture img")
    visitor.scroll_to("#column")
    shoot()
    before = visitor.wait_for("#map-picture img").get_attribute("src")
    visitor.choose("#column", column)
    visitor.wait_for(f"#map-picture img:not([src='{before}'])")
    visitor.click("#map-picture img", 0.36, 0.48)
    visitor.wait_for("#chosen audio")
    visitor.scroll_to("#column")
    shoot()
    visitor.tab("Two models")
    visitor.wait_for("#nearest-1 audio", count=5)
    visitor.wait_for("#similarity-1 img")
    visitor.scroll_to("#agreement")
    shoot()


def refusal(visitor: Visitor, folder: Path, shoot: Callable[[], None]) -> None:
    """A file that is too large."""
    (folder / "long-walk.ogg").write_bytes(bytes(round(1.5 * MEGABYTES * 1e6)))
    visitor.drop(folder / "long-walk.ogg")
    visitor.wait_for("#status .bad", "is too large")
    shoot()


def strip(frames: list[Path], out: Path) -> None:
    """Screenshots as one picture, three in a row."""
    from PIL import Image

    pictures = [Image.open(frame).convert("RGB") for frame in frames]
    height = round(WIDTH * pictures[0].height / pictures[0].width)
    rows, gap = -(-len(pictures) // 3), 10
    sheet = Image.new("RGB", (3 * WIDTH + 4 * gap, rows * height + (rows + 1) * gap), "#777777")
    for number, picture in enumerate(pictures):
        place = gap + number % 3 * (WIDTH + gap), gap + number // 3 * (height + gap)
        sheet.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), place)
    sheet.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(out, optimize=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("tables", nargs=2)
@click.argument("sound", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="NAME.png")
@click.option("--column", default="folder", show_default=True, help="That colours the map.")
@click.option("--csv", "values", default="", help="Whose columns may colour the map.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for the single screenshots.")
def main(tables: tuple[str, str], sound: Path, out: Path, column: str, values: str, keep: Path | None) -> None:
    """Drops SOUND on the page of two TABLES, results of embed, and writes a film strip of the visit."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(served(Shelf.of_tables(tables, values=values), Limits(megabytes=MEGABYTES)))
        frames: list[Path] = []

        def shoot() -> None:
            frames.append(folder / f"{len(frames)}.png")
            visitor.screenshot(frames[-1])

        with Visitor(url) as visitor:
            visit(visitor, sound, column, shoot)
        with tempfile.TemporaryDirectory() as large, Visitor(url) as visitor:
            refusal(visitor, Path(large), shoot)
        strip(frames, out)
        click.echo(f"{len(frames)} screenshots -> {out} ({out.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
