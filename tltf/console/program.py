"""The program `tltf`, which runs a command by its name: `tltf train --flagfile=...`."""

import importlib.metadata
import sys
from collections.abc import Sequence

from tltf.config.commands import COMMANDS, load_command
from tltf.console import command
from tltf.errors import FlagError

VERSION, HELP = ("--version", "-V"), ("--help", "-h", "help")
COMPLETION = """\
_tltf() {
  local word=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "%s" -- "$word"))
  elif [ "${word#--}" != "$word" ]; then
    COMPREPLY=($(compgen -W "$(tltf "${COMP_WORDS[1]}" --helpfull 2>/dev/null |
      sed -n 's/^ *\\(--[a-z0-9_]*\\).*/\\1=/p')" -- "$word"))
    compopt -o nospace
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -F _tltf tltf
"""
"""For bash, and for zsh after `bashcompinit`."""


def help_text() -> str:
    """What `tltf --help` prints: a line per command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "Transfer learning with TensorFlow and Keras.",
            "",
            "tltf COMMAND --flag=value ...",
            "",
            *lines,
            "",
            "tltf COMMAND --help lists the flags of a command, tltf --version prints the version;",
            "tltf --completion prints a script for bash: source <(tltf --completion)",
        ]
    )


def run(argv: Sequence[str]) -> int:
    """The exit code of `tltf` with arguments, without the program's own name."""
    name, *rest = argv or ("--help",)
    if name in HELP:
        print(help_text())
        return 0
    if name in VERSION:
        print(f"tltf {importlib.metadata.version('tltf')}")
        return 0
    if name == "--completion":
        print(COMPLETION % " ".join(COMMANDS), end="")
        return 0
    try:
        main = load_command(name)
    except FlagError as error:
        print(error, file=sys.stderr)
        return error.code
    return main(rest)


def main() -> None:
    """Runs the program with the arguments of the process, through absl, and ends it."""
    command.start(run)
