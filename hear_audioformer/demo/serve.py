"""Serves the page, to this machine alone unless told otherwise."""

import os
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it on import

import gradio

from .cards import CSS
from .page import Page
from .shelf import Shelf
from .sound import Limits

SYSTEM = ("system-ui", "sans-serif")  # fonts of the visitor's machine
MONO = ("ui-monospace", "monospace")
ROOM = 2  # an upload may be so many times larger than the limit, so that the page itself can refuse it in words


def serve(
    shelf: Shelf,
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    browser: bool = False,
    wait: bool = True,
    workers: int | None = None,
) -> Any:
    """Starts the server and, with ``wait``, stays until it is stopped. Returns the page as Gradio's ``Blocks``.

    Args:
        browser: whether a browser is opened.
        workers: processes that embed a folder.
    """
    page = Page(shelf, limits, workers).blocks
    page.launch(
        server_name=host,
        server_port=port,
        inbrowser=browser,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=limits.bytes * ROOM,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        footer_links=[],
        theme=gradio.themes.Base(font=SYSTEM, font_mono=MONO),
        css=CSS,
    )
    if wait:
        page.block_thread()
    return page
