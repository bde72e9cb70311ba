#!/usr/bin/env bash
# Installs tltf with what its tests need into .venv, then checks style, types and behaviour:
# ruff, mypy, pytest. Arguments go to pytest.
#
#   tools/test.sh                    the default suite
#   tools/test.sh -m large           the slow tests, which fetch more
#   tools/test.sh -n 0 tests/config/call_strings_test.py -x
#
# It can be run again: what is installed is not installed twice.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tools/environment.sh"

enter_environment "[all,test]"
cd "$root"
echo "tltf: ruff check, ruff format --check, mypy"
ruff check .
ruff format --check .
mypy
# Two processes, each of which takes whole files: the set-up of a file is done once. -n 0 is one.
# Files are taken in the order of tests/conftest.py, and not by their number of tests.
set -- -n 2 --dist=loadfile --no-loadscope-reorder "$@"
echo "tltf: pytest $*"
exec python -m pytest "$@"
