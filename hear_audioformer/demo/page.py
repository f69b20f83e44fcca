"""The page: layout and events, by Gradio. All that it shows comes from ``views``; nothing comes from the net."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it on import

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio

from ..errors import AudioError
from . import views
from .cards import cards, quiet, status
from .folder import Folder
from .shelf import Shelf
from .sound import Limits, checked

START = "Drop a sound, or record one."
NO_TABLE = "The folder is not embedded yet."
ONE_TABLE = "Two models are compared where two tables are given, or --folder with two times --model."
CLICK = "Click a point to hear it. Rings are the sounds nearest to yours."
METHODS = ["pca", "umap"]


class Page:
    """The parts of the page, and what happens when they change.

    Attributes:
        blocks: the page as Gradio serves it.
    """

    def __init__(self, shelf: Shelf, limits: Limits, workers: int | None = None) -> None:
        self.shelf, self.limits, self.workers = shelf, limits, workers
        self.maps: dict[tuple[Any, ...], views.MapPicture] = {}
        with gradio.Blocks(title="hear_audioformer", analytics_enabled=False, fill_width=True) as self.blocks:
            self.header = gradio.HTML(self._header(), elem_id="header")
            self.offer = gradio.Button(self._offer(), visible=bool(shelf.missing), variant="primary", elem_id="offer")
            with gradio.Row():
                self._column_of_the_sound()
                with gradio.Column(scale=2, min_width=420):
                    self.spectrogram = _image("Spectrogram", "spectrogram")
                    self.status = gradio.HTML(status(START), elem_id="status")
            with gradio.Tabs():
                with gradio.Tab("Nearest sounds", id="nearest"):
                    self._tab_of_nearest()
                with gradio.Tab("Map", id="map"):
                    self._tab_of_the_map()
                with gradio.Tab("Two models", id="models"):
                    self._tab_of_models()
            self.found = gradio.State([])  # rows of the first table that sound like the visitor's sound
            self._events()

    def _column_of_the_sound(self) -> None:
        with gradio.Column(scale=1, min_width=300):
            self.sound = gradio.Audio(
                label=f"Your sound ({self.limits})",
                sources=["upload", "microphone"],
                type="filepath",
                editable=False,
                buttons=[],
                elem_id="sound",
            )
            self.count = gradio.Slider(1, 20, value=5, step=1, label="Nearest sounds to show", elem_id="count")

    def _tab_of_nearest(self) -> None:
        with gradio.Row():
            with gradio.Column(scale=1, min_width=320):
                self.similarity = _image("Self-similarity", "similarity", height=400)
            with gradio.Column(scale=1, min_width=320):
                self.nearest = gradio.HTML(quiet(START), elem_id="nearest")

    def _tab_of_the_map(self) -> None:
        columns = self.shelf.folders[0].columns if self.shelf.folders else ["folder"]
        with gradio.Row():
            self.column = gradio.Dropdown(columns, value="folder", label="Colour by", elem_id="column")
            self.method = gradio.Radio(
                METHODS if find_spec("umap") else METHODS[:1], value="pca", label="Projection", elem_id="method"
            )
        with gradio.Row():
            with gradio.Column(scale=3, min_width=480):
                self.map = _image("Map", "map-picture")
            with gradio.Column(scale=1, min_width=240):
                self.chosen = gradio.HTML(quiet(CLICK), elem_id="chosen")

    def _tab_of_models(self) -> None:
        self.agreement = gradio.HTML(quiet(START if len(self.shelf.folders) > 1 else ONE_TABLE), elem_id="agreement")
        self.sides: list[tuple[Any, Any]] = []
        with gradio.Row():
            for number in range(2):
                with gradio.Column(min_width=320):
                    picture = _image("Self-similarity", f"similarity-{number}", height=340)
                    self.sides.append((picture, gradio.HTML("", elem_id=f"nearest-{number}")))

    def _events(self) -> None:
        side_parts = [part for side in self.sides for part in side]
        heard = [self.status, self.spectrogram, self.similarity, self.nearest, self.found, self.agreement, *side_parts]
        pictured = [self.status, self.map]
        drawing = {"fn": self.on_map, "inputs": [self.column, self.method, self.found], "outputs": pictured}
        sound = {"fn": self.on_sound, "inputs": [self.sound, self.count], "outputs": heard}
        after = self.sound.change(**sound, api_name="hear")
        after.success(**drawing, api_name=False)
        self.count.release(**sound, api_name=False).success(**drawing, api_name=False)
        self.blocks.load(**drawing, api_name=False, show_progress="hidden")
        self.column.input(**drawing, api_name="map")
        self.method.input(**drawing, api_name=False)
        self.map.select(self.on_point, [self.column, self.method, self.found], [self.chosen], api_name=False)
        changed = [self.status, self.header, self.offer, self.column, self.agreement]
        embedded = self.offer.click(self.on_offer, None, changed, api_name="embed")
        embedded.success(**sound, api_name=False).success(**drawing, api_name=False)

    def on_sound(self, path: str | None, count: int) -> list[Any]:
        """A sound was dropped, recorded or taken away."""
        empty: list[Any] = [None, None, quiet(START), [], quiet(START if len(self.shelf.folders) > 1 else ONE_TABLE)]
        empty += [None, "", None, ""]
        if path is None:
            return [status(START), *empty]
        try:
            return self._heard(path, int(count))
        except Exception as error:
            return [status(line_of(error, path), bad=True), *empty]

    def _heard(self, path: str, count: int) -> list[Any]:
        seconds = checked(path, self.limits)
        picture = views.spectrogram(path)
        folders = self.shelf.folders
        name = f"{Path(path).name}, {seconds:.1f} s"
        if not folders:
            return [status(f"{name}. {NO_TABLE}"), picture, None, quiet(NO_TABLE), [], quiet(NO_TABLE), *[None, ""] * 2]
        found = [views.nearest(folder, folder.hear(path), count) for folder in folders]
        similar: list[Any] = [None] * len(folders)
        try:
            similar = [views.similarity(folder, path, seconds) for folder in folders]
        except AudioError as error:  # too short for that
            name = line_of(error, path)
        if len(folders) == 1:
            common, agreement, sides = set[str](), quiet(ONE_TABLE), [None, "", None, ""]
        else:
            common = views.in_common(*found)
            agreement = quiet(f"Found by both models, and marked green: {len(common)} of {count}.")
            sides = [
                part
                for folder, picture_of, some in zip(folders, similar, found, strict=True)
                for part in (picture_of, _titled(folder, cards(some, common)))
            ]
        rows = [one.row for one in found[0]]
        nearest = _titled(folders[0], cards(found[0]))
        return [status(name), picture, similar[0], nearest, rows, agreement, *sides]

    def on_map(self, column: str, method: str, found: list[int]) -> list[Any]:
        """The map is to be drawn anew."""
        if not self.shelf.folders:
            return [gradio.skip(), None]
        try:
            return [gradio.skip(), self._map(column, method, found).pixels]
        except Exception as error:
            return [status(line_of(error), bad=True), None]

    def on_point(self, column: str, method: str, found: list[int], event: gradio.SelectData) -> str:
        """A point of the map was clicked."""
        try:
            row = self._map(column, method, found).row_at(*event.index)
            one = views.neighbour(self.shelf.folders[0], row)
            value = self.shelf.folders[0].values(column, [row])[0]
            return cards([one]) + quiet(f"{column}: {value}")
        except Exception as error:
            return status(line_of(error), bad=True)

    def on_offer(self, progress: gradio.Progress = gradio.Progress()) -> list[Any]:  # noqa: B008
        """The folder is to be embedded."""
        try:
            self.shelf.embed(lambda line: progress(None, desc=line), self.workers)
        except Exception as error:
            return [status(line_of(error), bad=True), *[gradio.skip()] * 4]
        folders = self.shelf.folders
        return [
            status(f"The folder is embedded. {START}"),
            self._header(),
            gradio.update(visible=False),
            gradio.update(choices=folders[0].columns),
            quiet(START if len(folders) > 1 else ONE_TABLE),
        ]

    def _map(self, column: str, method: str, found: list[int]) -> views.MapPicture:
        key = (column, method, *found)
        if key not in self.maps:
            self.maps = {key: views.map_picture(self.shelf.folders[0], column, method, found)}
        return self.maps[key]

    def _header(self) -> str:
        if self.shelf.folders:
            text = " | ".join(folder.title for folder in self.shelf.folders)
        else:
            text = f"{self.shelf.recordings}: not embedded yet"
        return f"<h2>What sounds like this?</h2>{quiet(text)}"

    def _offer(self) -> str:
        return f"Embed {self.shelf.recordings} by {' and '.join(self.shelf.models)}"


def line_of(error: Exception, path: str = "") -> str:
    """An error in one line, without the folder of the upload."""
    text = str(error) or type(error).__name__
    if path:
        text = text.replace(path, Path(path).name)
    return " ".join(text.split())


def _titled(folder: Folder, rows: str) -> str:
    return f"{quiet(f'Nearest of {folder.title}')}{rows}"


def _image(label: str, name: str, height: int | None = None) -> gradio.Image:
    """A picture that carries its own title."""
    return gradio.Image(
        label=label,
        show_label=False,
        alt_text=label,
        height=height,
        elem_id=name,
        elem_classes="hear-picture",
        interactive=False,
        format="png",
        buttons=["fullscreen"],
    )
