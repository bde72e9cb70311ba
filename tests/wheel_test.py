"""A wheel trains outside of the repository: its templates, catalogs and styles are in it."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.large
def test_a_wheel_trains_and_reports(tmp_path):
    make = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", f"--wheel-dir={tmp_path}"]
    copy = tmp_path / "copy"  # pip builds in the folder itself
    shutil.copytree(ROOT / "tltf", copy / "tltf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run([*make, str(copy)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tltf-*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        assert not [name for name in archive.namelist() if name.startswith("tests")]
    flags = ["--data=digits(num_train=60, num_test=30)", "--backbone=small_cnn(filters=[4])"]
    flags += ["--train_epochs=1", "--noexport", f"--output={tmp_path}/run"]
    done = subprocess.run(
        [sys.executable, "-m", "tltf.train", *flags],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "<style>" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    shown = subprocess.run(
        [sys.executable, "-c", "import tltf; print(tltf.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert shown.stdout.startswith(str(site)), "not the repository's own package"
