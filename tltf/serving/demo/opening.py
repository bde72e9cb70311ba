"""Opens a page that is made with Gradio, and keeps it until the command is interrupted."""

import contextlib
import logging
import os
import pathlib
import tempfile
import time
import types
import warnings
from collections.abc import Iterator
from typing import Any

from tltf.config import call_strings
from tltf.config.command_options import PageOptions
from tltf.console import lines, signals
from tltf.errors import FlagError, StorageError

EXTRA = "demo"
LARGEST_UPLOAD = "64mb"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
PRIVATE = "private"
"""The visibility of events that programs may not call."""
CSS = "footer { display: none !important }\n"
"""Styles of all pages."""


@contextlib.contextmanager
def gradio_for_a_page() -> Iterator[tuple[types.ModuleType, pathlib.Path]]:
    """Gradio, and a folder for what the page keeps, which goes with it.

    Raises:
        FlagError: gradio is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="tltf-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads go with the page
        yield import_gradio(), pathlib.Path(folder)


def show(page: Any, options: PageOptions, css: str, head: str = "") -> None:
    """Serves a page until the command is interrupted.

    Args:
        page: a gradio.Blocks.
        options: where it is served.
        css: its own styles.
        head: HTML for its head.

    Raises:
        FlagError: the port is not free, or the host is not one of this machine.
        StorageError: no public address can be had.
    """
    address = _start(page, options, CSS + css, head)
    print(f"{'page':<{lines.NAME}} {address}  (Ctrl-C ends it)", flush=True)
    try:
        while not signals.is_end_requested():
            time.sleep(0.5)
    except KeyboardInterrupt:  # how it is meant to end
        pass
    finally:
        page.close(verbose=False)


def import_gradio() -> types.ModuleType:
    """Gradio, which then sends no numbers about its use to its makers.

    Raises:
        FlagError: it is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell of each of its requests
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise call_strings.missing_extra(error, EXTRA) from error
    return gradio


def _start(page: Any, options: PageOptions, css: str, head: str) -> str:
    """Starts the server of a page as `show` does; returns its address."""
    if options.host not in LOCAL_HOSTS:
        what = f"--host={options.host}: everybody who reaches this machine can use the page"
        warnings.warn(what, stacklevel=3)
    gradio = import_gradio()
    fonts = ["system-ui", "sans-serif"]
    try:
        _, local, public = page.launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            max_file_size=LARGEST_UPLOAD,
            allowed_paths=[],
            blocked_paths=[],
            theme=gradio.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=css,
            head=head or None,
        )
    except OSError as error:
        what = f"the port cannot be used ({error})"
        raise FlagError(
            what, flag="port", fix="leave --port out, which finds a free one"
        ) from error
    if options.share and not public:
        page.close(verbose=False)
        raise StorageError("gradio.live gave no address", flag="share", fix="leave --share out")
    return public or local
