# Sourced by quickstart.sh and test.sh: a virtual environment in .venv with tltf in it.
#
# enter_environment EXTRAS   makes it and installs tltf, unless both are done already, and
#                            activates it. EXTRAS is "" or "[all,test]".
# TLTF_VENV names another folder than .venv; PYTHON another interpreter.

fail() {
    echo "tltf: error[$1] $2" >&2
    exit "$1"
}

# A python 3.11 or newer that really runs: a pyenv shim may be there and not work.
find_python() {
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$candidate" ] &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
                >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    fail 2 "no Python 3.11 or newer with venv was found; fix: install one, or PYTHON=/path/to/python $0"
}

# What the environment was made from: another setup.cfg or other extras mean another install.
environment_stamp() {
    echo "extras $1"
    cat "$root/setup.cfg" "$root/pyproject.toml"
}

enter_environment() {
    extras=$1
    venv=${TLTF_VENV:-$root/.venv}
    if ! "$venv/bin/python" -c '' >/dev/null 2>&1; then
        python=$(find_python) || exit $?
        echo "tltf: making a virtual environment in $venv with $("$python" --version)"
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    stamp="$venv/tltf-stamp$(echo "$extras" | tr -c 'a-z\n' '-')"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$(environment_stamp "$extras")" ]; then
        echo "tltf: $venv is up to date"
    else
        echo "tltf: installing tltf$extras into $venv (TensorFlow and other packages; this takes some minutes)"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$root$extras" ||
            fail 5 "pip could not install tltf$extras; fix: see its message above, then run this again"
        environment_stamp "$extras" >"$stamp"
    fi
    export PATH="$venv/bin:$PATH" TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"
}
