"""A visit by a real browser: a sound is dropped, pictures and players come, a point of the map is heard."""

from pathlib import Path

import pytest

from hear_audioformer.demo.shelf import Shelf
from hear_audioformer.demo.sound import Limits
from tests.demo.conftest import Home
from tests.demo.served import served
from tests.demo.visitor import Visitor, browser

pytest.importorskip("gradio")
pytest.importorskip("selenium")
pytestmark = pytest.mark.skipif(browser() is None, reason="needs Chromium and chromedriver")

EXAMPLE = Path(__file__).parents[2] / "docs" / "example.ogg"


def test_a_visit(home: Home, tmp_path: Path) -> None:
    shelf = Shelf.of_tables([str(table) for table in home.tables], values=str(home.labels))
    with served(shelf) as url, Visitor(url) as visitor:
        frames = visitor.find(".hear-picture [aria-label='Empty value']")
        assert frames, "Gradio names them otherwise now"
        assert not any(one.is_displayed() for one in frames), "an empty frame is shown"
        visitor.drop(EXAMPLE)
        visitor.wait_for("#nearest audio", count=5)
        for name in ("spectrogram", "similarity"):
            assert visitor.wait_for(f"#{name} img").get_property("naturalWidth") > 300
        assert visitor.status().startswith("example.ogg, 2.7 s")
        assert visitor.driver.execute_async_script(PLAYED) > 0, "the first of the nearest sounds cannot be played"
        visitor.tab("Map")
        visitor.wait_for("#map-picture img")
        visitor.click("#map-picture img", 0.4, 0.5)
        visitor.wait_for("#chosen", "folder: in")
        visitor.tab("Two models")
        visitor.wait_for("#nearest-1 audio", count=5)
        visitor.screenshot(tmp_path / "models.png")
        assert (tmp_path / "models.png").stat().st_size > 20_000
        assert visitor.asked() == {"127.0.0.1"}
        assert visitor.faults() == []


def test_a_file_that_is_too_large(home: Home, tmp_path: Path) -> None:
    """Just too large, and so large that the server does not take it in."""
    shelf = Shelf.of_tables([str(home.tables[0])])
    with served(shelf, Limits(megabytes=0.02)) as url:
        with Visitor(url) as visitor:
            visitor.drop(home.sound(3))
            visitor.wait_for("#status .bad", "0003.flac: is too large")
        (tmp_path / "large.ogg").write_bytes(EXAMPLE.read_bytes() * 10)
        with Visitor(url) as visitor:
            visitor.drop(tmp_path / "large.ogg")
            visitor.wait_for("body", "exceed")
            assert not visitor.find("#spectrogram img")


PLAYED = """
const [done] = arguments, player = document.querySelector('#nearest audio');
const look = () => player.readyState > 0 ? done(player.duration) : setTimeout(look, 50);
look();
"""
