"""Tells a web address of alarms, by a POST of JSON."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tltf.errors import FlagError

TIMEOUT_S = 10.0
TRIES = 3
FIRST_WAIT_S = 1.0
"""Seconds before the second try, which double before each further one."""
_AGAIN = (408, 425, 429)
"""Answers below 500 after which the same request may succeed."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for a failure, since the alarm would be lost on its way: it becomes a GET."""

    def redirect_request(self, *_: Any) -> None:
        """Follows none."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def check(address: str) -> None:
    """Raises FlagError for an address that alarms cannot be posted to."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = f"takes an address that begins with https:// or http:// (received {address[:60]!r})"
        raise FlagError(what, flag="webhook", fix="--webhook=https://HOST/PATH")


def post(address: str, content: dict[str, Any]) -> str:
    """Posts JSON, up to TRIES times; returns why it failed, or an empty text.

    The address itself is never in the text, because it may hold a secret.

    Args:
        address: see `check`.
        content: JSON data.
    """
    body = json.dumps(content, ensure_ascii=False).encode("utf-8")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "tltf-monitor"}
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
        request = urllib.request.Request(address, body, headers, method="POST")
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S):
                return ""
        except urllib.error.HTTPError as error:
            reason = f"it answered {error.code} {error.reason}"
            error.close()
            if error.code < 500 and error.code not in _AGAIN:
                break
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
    host = urllib.parse.urlsplit(address).hostname
    return f"{host} could not be told of the alarms: {reason}"
