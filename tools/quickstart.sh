#!/usr/bin/env bash
# Installs tltf into .venv, then fine-tunes an ImageNet network on 1,000 handwritten digits,
# evaluates it, writes a report with pictures, exports a SavedModel and predicts one image.
#
#   tools/quickstart.sh [FOLDER]     FOLDER: of the run, runs/quickstart by default
#
# It can be run again: what is installed, fetched or finished is not done twice.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tools/environment.sh"

enter_environment ""
exec python "$root/tools/quickstart.py" "$@"
