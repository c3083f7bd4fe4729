# Source it: makes .venv with a Python of 3.11 or newer, whatever the system's own Python forbids. Nothing outside .venv
# is touched, except that Debian and Ubuntu keep `venv` in a package of its own, which root may install.

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 \
            && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    echo "mistcore needs Python 3.11 or newer, and none was found" >&2
    return 1
}

make_venv() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 && return 0  # also after the folder was moved
    python=$(find_python) || return 1
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
        else
            echo "this Python has no venv: install it with: sudo apt-get install $package" >&2
            return 1
        fi
    fi
    "$python" -m venv .venv
}
