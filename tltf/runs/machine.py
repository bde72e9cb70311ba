"""The machine that a run is on, as the operating system describes it."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import platform
import re
import subprocess
import sys

_CPU_INFO = pathlib.Path("/proc/cpuinfo")
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine.

    Args:
        cpu: the model of its processor.
        cores: processors that this process may use, at least 1.
        memory_bytes: its memory; None where the system does not say.
        system: the operating system.
    """

    cpu: str
    cores: int
    memory_bytes: int | None
    system: str


def this_machine() -> Machine:
    """The Machine that this process is on."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return Machine(
        _cpu_model(), cores, _memory_bytes(), f"{platform.system()} {platform.release()}"
    )


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine() or "unknown"


@functools.cache
def cpu_flags() -> frozenset[str]:
    """What the processor can do, such as `avx2`, as Linux names it; empty on other systems."""
    try:
        found = re.search(r"^flags\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return frozenset(found[1].split()) if found else frozenset()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def peak_memory_bytes() -> int | None:
    """The most memory that this process has used so far; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@functools.cache
def commit() -> str:
    """The git commit of a tltf that runs out of its repository; empty for an installed one.

    It ends in `, changed` where files that git knows differ from the commit.
    """
    if not (_PACKAGE.parent / ".git").exists():
        return ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        revision = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return revision + (", changed" if changed else "")
    return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_PACKAGE, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
