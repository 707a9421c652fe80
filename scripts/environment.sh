# shellcheck shell=sh
# Sourced by the scripts beside it: makes `.venv` in the checkout once, and again when pyproject.toml or the Python changes.
# Needs Python >= 3.11 on PATH, or named by $PYTHON; leaves the environment's programs first on PATH.

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
VENV=$ROOT/.venv

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Debian splits `ensurepip` off: a Python without it cannot make an environment.
usable_python() {
    "$1" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable_python "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or newer with the venv module."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python python3.14 python3.13 python3.12 python3.11; do
        if usable_python "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer with the venv module is needed (on Debian: apt install python3-venv)." \
        "Where it has another name: PYTHON=/path/to/python $0"
}

install_into_venv() {
    log=$VENV/install.log
    # `--group` came with pip 25.1. The project goes last: its `roar` takes the place of roar-cli's, and hands over to it.
    # Python 3.11 puts an old setuptools into every environment; nothing here needs one, and it has known vulnerabilities.
    {
        "$VENV/bin/python" -m pip uninstall --quiet --yes setuptools &&
            "$VENV/bin/python" -m pip install --quiet --upgrade 'pip>=25.1' &&
            "$VENV/bin/python" -m pip install --quiet --group "$ROOT/pyproject.toml:dev" &&
            "$VENV/bin/python" -m pip install --quiet --editable "${ROOT}[all]"
    } >"$log" 2>&1 </dev/null || {
        tail -n 20 "$log" >&2
        die "The environment in $VENV could not be made; all that pip said is in $log."
    }
}

make_environment() {
    python=$(find_python) || exit 1
    wanted=$("$python" -VV && cksum <"$ROOT/pyproject.toml")
    if [ "$(cat "$VENV/stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    printf 'Making the environment in .venv (once; about a minute) ...\n' >&2
    "$python" -m venv --clear "$VENV" || die "$python could not make an environment in $VENV."
    install_into_venv
    # Written last: an environment that was cut off half-way is made again.
    printf '%s\n' "$wanted" >"$VENV/stamp"
}

make_environment
PATH=$VENV/bin:$PATH
VIRTUAL_ENV=$VENV
export PATH VIRTUAL_ENV
# Compiled modules are kept: rewriting the assertions of all tests takes each process longer than collecting them.
unset PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
cd "$ROOT" || exit 1
