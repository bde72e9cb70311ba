"""The program `tltf`: its commands are the modules at the top of the package."""

import configparser
import os
import pathlib
import runpy
import subprocess
import sys

import pytest

import tltf
from tltf.config.commands import COMMANDS
from tltf.console import program

ROOT = pathlib.Path(tltf.__file__).parent


def test_its_commands_are_the_modules_at_the_top():
    named = {path.stem for path in ROOT.glob("*.py") if "command.start(main)" in path.read_text()}
    assert set(COMMANDS) == named


def test_help_has_a_line_per_command(capsys):
    for argv in ([], ["--help"], ["-h"]):
        assert program.run(argv) == 0
        lines = capsys.readouterr().out.splitlines()
        for name, summary in COMMANDS.items():
            assert any(line.split() == [name, *summary.split()] for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_that_of_its_module(name, capsys):
    assert program.run([name, "--help"]) == 0
    assert f"python -m tltf.{name} " in capsys.readouterr().out
    assert program.run([name, "--no_such_flag=1"]) == 2


def test_the_version_and_a_wrong_name(capsys):
    assert program.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tltf ")
    assert program.run(["trian"]) == 2
    assert "fix: tltf train" in capsys.readouterr().err
    assert program.run(["zebra"]) == 2
    assert "fix: tltf --help" in capsys.readouterr().err


def test_the_script_is_installed_by_its_name():
    setup = configparser.ConfigParser()
    setup.read(ROOT.parent / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split()
    assert scripts == ["tltf", "=", "tltf.console.program:main"]


def test_bash_completes_commands_and_flags(tmp_path):
    """In bash itself, with a stand-in for the program on PATH."""
    (tmp_path / "tltf").write_text("#!/bin/sh\nprintf -- '  --data  (x)\\n  --output  (y)\\n'\n")
    (tmp_path / "tltf").chmod(0o755)
    script = program.COMPLETION % " ".join(COMMANDS)
    ask = """
compopt() { :; }
COMP_WORDS=(tltf pre); COMP_CWORD=1; _tltf; echo "${COMPREPLY[@]}"
COMP_WORDS=(tltf train --d); COMP_CWORD=2; _tltf; echo "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", script + ask],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["predict", "--data="]


def test_the_package_runs_as_the_program(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tltf", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tltf", run_name="__main__")
    assert not ended.value.code and capsys.readouterr().out.startswith("tltf ")


def test_a_reader_of_help_may_go_away():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "tltf", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
