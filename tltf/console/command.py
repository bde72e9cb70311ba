"""What every command shares: it reads its flags, prints errors on one line and gives an exit code."""

import contextlib
import errno
import importlib
import logging
import os
import re
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Callable, Sequence

from absl import app

from tltf.config import help_groups
from tltf.config.catalogs import CATALOGS
from tltf.config.flag_fields import Flag, flag_text
from tltf.config.flagfiles import parse
from tltf.config.options import AnyOptions, OptionsGroup, flags_of
from tltf.console import lazy_imports, library_messages, lines, out_of_memory, signals, streams
from tltf.console.catalog_text import list_text
from tltf.errors import DataError, StorageError, TltfError, printable

_MISSING_FILE = re.compile(r"(?:^|\}\} ?|: )((?:/|\w+://).*?) ?; No such file or directory")
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ESTALE,
    errno.EMFILE,
)
_DISK = re.compile(r"(/\S+)? ?; ({})".format("|".join(map(os.strerror, _DISK_ERRORS))))
"""What TensorFlow's errors end with where the system refused a file."""
_DEBUG = re.compile(r"--?debug(=(true|t|yes|y|1))?", re.IGNORECASE)
DEBUG_HINT = "run again with --debug for the traceback"


def start(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a command's `main(argv)` as a program, through absl, and exits with its code."""

    def run_main(_: Sequence[str]) -> None:
        try:
            code = main(sys.argv[1:])
            sys.stdout.flush()
        except BrokenPipeError:
            code = _drop_output()
        sys.exit(code)

    app.run(run_main, argv=sys.argv[:1])


def _drop_output() -> int:
    """The exit code after the reader of standard output went away; what is written later is dropped."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def run(
    kind: type[AnyOptions],
    service: Callable[[AnyOptions], int | None],
    argv: Sequence[str],
    doc: str | None,
) -> int:
    """Reads the flags of `kind`, calls `service(options)`, and returns the exit code.

    Args:
        kind: the command's options dataclass.
        service: called with the options; may return an exit code.
        argv: arguments without the program's name.
        doc: the command's description for --help.
    """
    with streams.escape_unencodable(), library_messages.one_line_warnings():
        debug = any(map(_DEBUG.fullmatch, argv))  # where the flags cannot be read
        try:
            options, console = parse(kind, argv)
            debug = console.get("debug", False)
            if console.get("help") or console.get("helpfull"):
                print(help_text(kind, doc or "", is_full=console.get("helpfull", False)))
                return 0
            if "list" in console:
                print(list_text(console["list"]))
                return 0
            quiet_tensorflow(debug)
            hidden = contextlib.nullcontext() if debug else library_messages.hide_decoder_messages()
            with hidden, signals.handle_signals():
                return service(options) or 0
        except TltfError as error:
            return _fail(error, str(error), error.code, debug)
        except KeyboardInterrupt as error:
            return _fail(
                error, "tltf: error[75] interrupted; fix: run the same command again", 75, debug
            )
        except BrokenPipeError:
            return _drop_output()
        except Exception as error:  # the one place where an unforeseen fault becomes exit code 70
            known = _known_fault(error)
            if known is not None:
                return _fail(error, str(known), known.code, debug)
            what = printable(f"{type(error).__name__}: {error}")[:500]
            return _fail(
                error,
                f"tltf: error[70] this is a bug in tltf: {what}; fix: {DEBUG_HINT}",
                70,
                debug,
            )


def quiet_tensorflow(debug: bool) -> None:
    """Keeps TensorFlow's start-up notes off standard error; must run before its import."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if not debug:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def load_tensorflow(what_next: str = "") -> None:
    """Imports TensorFlow; what its start-up writes to standard error is shown only if it fails.

    TensorFlow 2.21 prints its first notes whatever TF_CPP_MIN_LOG_LEVEL says.

    Args:
        what_next: what the command does then; on a terminal a line says both first. Empty for no line.
    """
    if what_next and "tensorflow" not in sys.modules and sys.stderr.isatty():
        lines.say("start", f"loading TensorFlow, then {what_next}")
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3" or "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            # Keras wraps these; we call them ourselves
            with lazy_imports.hide_packages("matplotlib", "sklearn"):
                importlib.import_module("keras")
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="keras")


def help_text(kind: type[OptionsGroup], doc: str, is_full: bool) -> str:
    """What --help prints: the description, and the flags with their defaults under headings.

    Args:
        kind: the command's options dataclass.
        doc: the command's description.
        is_full: whether flags that few need, and the catalogs, are listed too.
    """
    text, flags = [doc.strip()], flags_of(kind)
    for heading, names in help_groups.group_flags(list(flags), is_full):
        text += ["", f"{heading}:"]
        for name in names:
            text += _flag_help(name, flags[name])
    text += [
        "",
        "every command:",
        "  --flagfile=FILE   reads flags from a file, which has one --name=value per line",
        f"  --list=NAME       prints a catalog: {', '.join(CATALOGS)}",
        "  --debug           shows tracebacks and TensorFlow's own messages",
        "  --help            prints this text",
        "  --helpfull        prints this text with all flags and all catalogs",
    ]
    for name in CATALOGS if is_full else ():
        text += ["", f"{name}:", list_text(name)]
    return "\n".join(text)


def _flag_help(name: str, flag: Flag) -> list[str]:
    """Lines of --help: a flag, its default, what it does and what it takes."""
    choices = f" Choices: {', '.join(flag.choices)}." if flag.choices else ""
    first = f"  --{name}  (default: {flag_text(flag.default) or 'empty'})"
    indent = " " * 6
    text = flag.help + choices
    return [first, *textwrap.wrap(text, 92, initial_indent=indent, subsequent_indent=indent)]


def _known_fault(error: BaseException) -> DataError | StorageError | None:
    """The TltfError for a fault of the machine or of TensorFlow; None for any other.

    TensorFlow's classes are looked up, not imported: where it is not loaded, none was raised.
    """
    if out_of_memory.is_exhausted(error):
        return StorageError("out of memory", fix="a smaller --batch_size or --image_size_px")
    if isinstance(error, OSError):
        place = error.filename if isinstance(error.filename, (str, bytes)) else ""
        return StorageError(error.strerror or str(error), place=os.fsdecode(place))
    faults = getattr(sys.modules.get("tensorflow"), "errors", None)
    if faults and isinstance(error, faults.OpError) and (found := _DISK.search(error.message)):
        return StorageError(found[2], place=found[1] or "")
    if (
        faults
        and isinstance(error, faults.ResourceExhaustedError)
        and out_of_memory.is_full_disk(error)
    ):
        return StorageError("no space left on the device")
    if faults and isinstance(error, faults.NotFoundError):
        found = _MISSING_FILE.search(error.message)
        return found and DataError("the file does not exist any more", flag="data", place=found[1])
    return None


def _fail(error: BaseException, line: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    with contextlib.suppress(OSError):  # where nobody reads it
        print(line, file=sys.stderr, flush=True)
    return code
