"""A wheel works outside of the repository: its templates, catalogs, styles and flagfiles are in it."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, since pip builds in the folder itself."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    leave_out = shutil.ignore_patterns("__pycache__")
    for name in ("tltf", "configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=leave_out)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    make = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", f"--wheel-dir={folder}"]
    subprocess.run([*make, str(copy)], check=True, capture_output=True)
    (path,) = folder.glob("tltf-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment with the wheel, which borrows all other packages from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    own = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", f"--python={own}", "install", "--no-deps", "--no-index"]
    subprocess.run([*install, "--quiet", str(wheel)], check=True, capture_output=True)
    site = subprocess.run(
        [own, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    lent = sysconfig.get_path("purelib")
    (pathlib.Path(site) / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    return own


def run(python, folder, *arguments):
    """The output of `python ARGUMENTS` in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith(("tests", "tools", "configs"))]
    there = {f"tltf/{path.relative_to(ROOT)}" for path in ROOT.glob("configs/**/*.flags")}
    assert there and there <= set(names)
    own = {f"{path.relative_to(ROOT)}" for path in (ROOT / "tltf").glob("**/*.py")}
    assert own == {name for name in names if name.startswith("tltf/") and name.endswith(".py")}


def test_it_trains_and_reports(python, tmp_path):
    flags = ["--data=digits(num_train=60, num_test=30)", "--backbone=small_cnn(filters=[4])"]
    flags += ["--train_epochs=1", "--noexport", "--output=run"]
    run(python, tmp_path, "-m", "tltf.train", *flags)
    assert "<style>" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    shown = run(python, tmp_path, "-c", "import tltf; print(tltf.__file__)")
    assert shown.startswith(str(python.parents[1])), "not the repository's own package"
    assert run(python, tmp_path, "-m", "tltf", "--version").startswith("tltf ")


def test_its_flagfiles_are_found_in_an_empty_folder(python, tmp_path):
    (tmp_path / "empty").mkdir()
    command = "-m tltf.train --flagfile=configs/quickstart.flags --output=runs/q"
    run(python, tmp_path / "empty", *command.split())
    written = (tmp_path / "empty/runs/q/run.flags").read_text(encoding="utf-8")
    assert "--data=mnist_5k(num_train=1000, num_test=2000)" in written
    assert (tmp_path / "empty/runs/q/report.html").exists()
    others = "-m tltf.train --flagfile=configs/vader_minilm_l6_full.flags --output=runs/v --dry_run"
    run(python, tmp_path / "empty", *others.split())
