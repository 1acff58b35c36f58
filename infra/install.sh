#!/bin/sh
# Make .venv from the committed lock: `infra/install.sh python3 .venv [install|anew|bench|lock]`, called by `make`.
# uv installs the packages, with the index, find-links and certificate that pip is configured with.
set -eu
python=$1 venv=$2
fail() { echo "$1" >&2; exit 1; }
other="name another with \`make setup PYTHON=python3.12\`"

command -v "$python" >/dev/null || fail "$python: not found; install Python 3.11 or newer, or $other"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" -V 2>&1) is too old: 3.11 or newer is needed; install it, or $other"
python=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))') # not of $venv itself
case ${3:-install} in
anew) rm -rf "$venv" ;;
install) rm -f "$venv/.ready" ;; # if this is interrupted, the next one begins anew
esac
test -x "$venv/bin/python" || "$python" -m venv "$venv" ||
    fail "$python cannot make a virtual environment (on Debian: apt install python3-venv), or $other"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement infra/installer.lock

setting() { # the value of a pip setting; the environment comes before files
    "$venv/bin/python" -m pip config list | "$venv/bin/python" -c '
import ast, sys
found = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
names = [scope + "." + sys.argv[1] for scope in (":env:", "install", "global")]
print(next((" ".join(ast.literal_eval(found[name]).split()) for name in names if name in found), ""))' "$1"
}
give() { # give VARIABLE VALUE: set it for uv, unless the user already has
    eval "said=\${$1:-}"
    test -n "$said" || test -z "$2" || export "$1=$2"
}
give UV_DEFAULT_INDEX "$(setting index-url)"
give UV_INDEX "$(setting extra-index-url)"
give UV_FIND_LINKS "$(setting find-links | tr ' ' ',')"
give UV_INSECURE_HOST "$(setting trusted-host)"
give SSL_CERT_FILE "$(setting cert)"
give UV_HTTP_TIMEOUT "$(setting default-timeout)"
export UV_INDEX_STRATEGY=unsafe-best-match # like pip: the best version of all indexes, not of the first that has it

uv() { "$venv/bin/python" -m uv "$@" --quiet; }
case ${3:-install} in
install | anew)
    uv pip install --python "$venv/bin/python" --requirements requirements.lock
    uv pip install --python "$venv/bin/python" --no-deps --editable .
    ;;
bench)
    uv pip install --python "$venv/bin/python" --constraint requirements.lock --editable '.[bench]'
    ;;
lock) # one line per version, then its hashes as the default index has them, which an offline folder may not
    compile() {
        uv pip compile --python "$venv/bin/python" --no-annotate --no-header --no-emit-index-url --no-emit-find-links "$@"
    }
    folder=$(mktemp -d)
    trap 'rm -r "$folder"' EXIT
    compile pyproject.toml --extra dev --extra bench --upgrade >"$folder/beside" # `make bench-peers` can resolve these
    compile pyproject.toml --extra dev --constraint "$folder/beside" | sed 's/+[a-z0-9]*$//' >"$folder/pins" # 2.13.0+cpu
    unset UV_INDEX UV_FIND_LINKS
    # torch stays without: its builds for CPU and CUDA have one version. uv drops the marker.
    compile "$folder/pins" --no-deps --generate-hashes | awk '
        /^[^ ]/ { torch = /^torch==/ }
        torch && /^ / { next }
        torch { sub(/ \\$/, "") }
        /^intel-openmp/ { sub(/ \\$/, "; sys_platform == \047linux\047 and platform_machine == \047x86_64\047 \\") }
        { print }' >requirements.lock
    ;;
esac
