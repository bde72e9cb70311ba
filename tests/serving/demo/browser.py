"""A headless Chromium that opens a page, waits for its texts, clicks, and takes its picture."""

import asyncio
import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1200,1100",
]


def visit(url, place, folder, wanted, click="", script="", then=()):
    """The texts of the page once it has all those wanted; its picture is written to `place`.

    Args:
        url: of the page.
        place: path of a PNG.
        folder: for the browser's own files.
        wanted: regular expressions.
        click: a CSS selector of what is clicked before; empty for nothing.
        script: JavaScript that is run in place of a click.
        then: regular expressions of what the page has after that; () for `wanted`.
    """
    script = script or (click and f"document.querySelector({click!r}).click()")
    command = [
        BROWSER,
        *FLAGS,
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    browser = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in browser.stderr:
            if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
                break
        with urllib.request.urlopen(f"http://{found[1]}/json/list") as answer:
            (tab,) = [tab for tab in json.load(answer) if tab["type"] == "page"]
        return asyncio.run(
            _visit(tab["webSocketDebuggerUrl"], url, place, wanted, script, then or wanted)
        )
    finally:
        browser.kill()
        browser.wait()


async def _visit(address, url, place, wanted, script, then):
    from tornado.websocket import websocket_connect

    socket = await websocket_connect(address, max_message_size=2**27)
    count = 0

    async def ask(method, **given):
        nonlocal count
        count += 1
        await socket.write_message(json.dumps({"id": count, "method": method, "params": given}))
        while True:
            answer = json.loads(await socket.read_message())
            if answer.get("id") == count:
                return answer["result"]

    async def texts_of(wanted):
        until, text = time.monotonic() + 120, ""
        while not all(re.search(part, text) for part in wanted):
            assert time.monotonic() < until, (wanted, text)
            await asyncio.sleep(0.3)
            found = await ask("Runtime.evaluate", expression=TEXTS)
            text = found["result"].get("value") or ""
        return text

    await ask("Page.navigate", url=url)
    text = await texts_of(wanted)
    if script:
        await ask("Runtime.evaluate", expression=script)
        await asyncio.sleep(3)
        text = await texts_of(then)
    await asyncio.sleep(1)
    picture = await ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
    place.write_bytes(base64.b64decode(picture["data"]))
    return text


TEXTS = """document.body.innerText + Array.from(document.querySelectorAll('textarea, input'))
    .map(box => '\\n' + box.value).join('')"""
"""The texts of a page and what its boxes hold."""
