"""The page as a server: its events by their API, errors in one line, nothing but this machine."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import soundfile

from hear_audioformer.demo.shelf import Shelf
from hear_audioformer.demo.sound import Limits
from tests.demo.conftest import Home
from tests.demo.served import served

pytest.importorskip("gradio")
client_module = pytest.importorskip("gradio_client")


@pytest.fixture(scope="module")
def page(home: Home) -> Iterator[str]:
    shelf = Shelf.of_tables([str(table) for table in home.tables], values=str(home.labels))
    with served(shelf, Limits(minutes=0.1)) as url:
        yield url


def client(url: str, folder: Path) -> Any:
    return client_module.Client(url, verbose=False, download_files=folder, analytics_enabled=False)


def test_a_sound_gives_pictures_and_players(home: Home, page: str, tmp_path: Path) -> None:
    result = client(page, tmp_path).predict(client_module.handle_file(home.sound(5)), 3, api_name="/hear")
    status, spectrogram, similarity, nearest, agreement, first, left, second, right = result
    assert re.search(r"0005.flac, \d\.\d s", status)
    for picture in (spectrogram, similarity, first, second):
        assert Path(picture).stat().st_size > 5000
    assert nearest.count("<audio") == 3
    assert nearest.index("0005.flac") < nearest.index('hear-rank">2')
    assert "of 3." in agreement
    assert "msm-mae" in left
    assert "asit" in right


def test_a_map_by_a_column_of_the_csv(page: str, tmp_path: Path) -> None:
    status, picture = client(page, tmp_path).predict("parity", "pca", api_name="/map")
    assert Path(picture).stat().st_size > 5000
    assert 'class="hear-status bad"' not in str(status)


def test_errors_are_a_line_of_the_page(page: str, tmp_path: Path) -> None:
    """And name the file as the visitor does, not where the server keeps it."""
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "long.wav", [0.0] * 8000 * 7, 8000)
    for name, message in {"text.wav": "text.wav: ", "long.wav": "long.wav: is too long"}.items():
        status, picture, *_ = client(page, tmp_path).predict(
            client_module.handle_file(tmp_path / name), 3, api_name="/hear"
        )
        assert f'<div class="hear-status bad" role="status">{message}' in status
        assert "\n" not in status
        assert "/" not in re.sub(r"</?div[^>]*>|\(--.*?\)", "", status)
        assert picture is None


def test_a_folder_is_embedded_by_a_click(home: Home, tmp_path: Path) -> None:
    shelf = Shelf.of_recordings(str(home.sounds), [str(home.models[0])], tmp_path / "tables")
    with served(shelf) as url:
        visitor = client(url, tmp_path)
        before = visitor.predict(client_module.handle_file(home.sound(5)), 3, api_name="/hear")
        assert "not embedded yet" in before[0]
        assert before[1] is not None, "the spectrogram needs no table"
        assert "The folder is embedded" in visitor.predict(api_name="/embed")[0]
        after = visitor.predict(client_module.handle_file(home.sound(5)), 3, api_name="/hear")
        assert after[3].count("<audio") == 3


def test_the_page_names_no_other_machine(page: str) -> None:
    """But for pictures that search engines show, which browsers do not fetch."""
    text = urlopen(page).read().decode()
    loaded = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?(https?:)?//([^/"' >]+)""", text)
    assert {host.split(":")[0] for _, host in loaded} <= {"127.0.0.1"}
    assert "fonts.googleapis" not in text


def test_only_this_machine_is_served(page: str) -> None:
    port = int(page.rstrip("/").rsplit(":", 1)[1])
    try:
        own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    except OSError:
        pytest.skip("this machine has no name")
    for address in own - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) != 0
