"""What libraries say reaches the user as lines of tltf, or not at all."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
import os, subprocess, sys, warnings
from tltf.config.options import Options
from tltf.console import command

def service(options):
{body}

code = command.run(Options, service, sys.argv[1:], "What it does.")
{after}
sys.exit(code)
"""
CHATTER = "Corrupt JPEG data: 28 extraneous bytes before marker 0xd9"


def program(body, *argv, after="", **settings):
    """The finished process of a command whose service has these lines."""
    body = "\n".join(f"    {line}" for line in body.splitlines())
    code = SCRIPT.format(body=body, after=after)
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        **settings,
    )


def said(body, *argv, **more):
    done = program(body, *argv, **more)
    return done.stderr.splitlines()


def test_a_warning_is_one_line_without_a_place():
    warned = r"warnings.warn('a file\nis odd')"
    assert said(warned) == [r"tltf: warning: a file\nis odd"]
    again = "warnings.warn('outside')"
    assert "UserWarning: outside" in said(warned, after=again)[-1], "other programs keep theirs"


def test_what_a_decoder_writes_is_left_out():
    body = f"os.write(2, b'{CHATTER}\\nof C\\n'); print('ours', file=sys.stderr)\n"
    body += f"subprocess.run(['sh', '-c', 'echo of a child >&2; echo {CHATTER} >&2'])"
    after = "os.write(2, b'after\\n')"
    assert sorted(said(body, after=after)) == ["after", "of C", "of a child", "ours"]
    assert CHATTER in said(body, "--debug")


def test_a_line_of_ours_outlives_an_end_at_once():
    done = program("print('last', file=sys.stderr)\nos._exit(75)")
    assert (done.returncode, done.stderr) == (75, "last\n")


def test_a_logger_from_inside_writes_on_afterwards():
    body = "import logging; logging.basicConfig(); logging.warning('inside')"
    after = "file = open(os.devnull); logging = sys.modules['logging']; logging.warning('outside')"
    assert said(body, after=after) == ["WARNING:root:inside", "WARNING:root:outside"]


def test_without_a_standard_error_the_command_works():
    done = program("os.write(1, b'done')", preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (0, "done")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:surrogateescape", "utf-8"])
def test_a_console_that_lacks_a_character_gets_another_spelling(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = program(r"print('\u2588\u2588 \u732b')", env=environment)
    given = "\u2588\u2588 \u732b" if encoding == "utf-8" else r"## \u732b"
    assert (done.returncode, done.stdout) == (0, f"{given}\n"), done.stderr
