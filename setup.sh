#!/usr/bin/env bash
# Set everything up in .venv and run the main job on the embedded demo. Safe to run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'EOF'
bash setup.sh [--no-demo] [--gpu]

  --no-demo   set up, but do not train on the demo afterwards
  --gpu       also install the CUDA libraries that TensorFlow needs on an NVIDIA GPU (about 3 GB), and check that it
              sees as many GPUs as the driver lists

Needs Python 3.11 to 3.13 with pip, and g++ on x86-64 Linux. PYTHON=/path/to/python3 chooses the Python.
Everything goes into .venv (and .uv, where uv is not on the PATH). pip's index settings are honoured.
EOF
}

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() {
    printf '\nsetup.sh: %s\n' "$*" >&2
    exit 1
}

demo=yes
gpu=no
extras=dev,ray,app,people,heic
tensorflow=tensorflow
for argument in "$@"; do
    case "$argument" in
        --no-demo) demo=no ;;
        --gpu) gpu=yes extras=dev,ray,app,people,heic,gpu tensorflow='tensorflow[and-cuda]' ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && fail "unknown option $argument" ;;
    esac
done

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
is_supported() { case "$(version_of "$1")" in 3.11 | 3.12 | 3.13) return 0 ;; *) return 1 ;; esac; }

# --- what the machine must have -------------------------------------------------------------------------------
python=
if [[ -n "${PYTHON:-}" ]]; then
    is_supported "$PYTHON" ||
        fail "PYTHON=$PYTHON is Python '$(version_of "$PYTHON")', but 3.11, 3.12 or 3.13 is needed."
    python=$PYTHON
else
    for candidate in python3 python3.12 python3.11 python3.13 python; do
        if is_supported "$candidate"; then python=$candidate && break; fi
    done
    [[ -n "$python" ]] || fail "no Python 3.11, 3.12 or 3.13 found (python3 is '$(version_of python3)').
  Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv python3-pip), or name it:
  PYTHON=/path/to/python3.12 bash setup.sh"
fi

has_dali=no
if [[ "$(uname -sm)" == "Linux x86_64" ]]; then
    has_dali=yes
    command -v g++ >/dev/null || fail "g++ is missing; DALI's TensorFlow plugin is compiled on this machine.
  Install it (Debian, Ubuntu: sudo apt-get install g++; Fedora: sudo dnf install gcc-c++) and run this again."
elif [[ "$gpu" == yes ]]; then
    fail "--gpu is for x86-64 Linux; this is $(uname -sm). Run bash setup.sh without it."
else
    echo "No DALI for $(uname -sm): the tf.data input path takes its place (slower, same values)."
fi

# --- uv: the one on the PATH, or our own in .uv ---------------------------------------------------------------
if command -v uv >/dev/null; then
    uv=$(command -v uv)
else
    uv=$PWD/.uv/bin/uv
    pinned=$(sed -n 's/^uv==//p' constraints.txt)
    if [[ "$("$uv" --version 2>/dev/null)" != "uv $pinned"* ]]; then
        say "Installing uv $pinned into .uv"
        rm -rf .uv
        if "$python" -m venv .uv >/dev/null 2>&1; then
            .uv/bin/python -m pip install --quiet "uv==$pinned"
        else # Debian without python3-venv: pip alone will do
            rm -rf .uv
            "$python" -m pip install --quiet --target .uv "uv==$pinned" ||
                fail "could not install uv with pip. Debian, Ubuntu: sudo apt-get install python3-venv python3-pip"
        fi
    fi
fi

# uv does not read pip's configuration; hand it over, where uv has none of its own.
pip_setting() { # NAME -> value of PIP_NAME, or of pip's configuration files, on one line
    local variable
    variable=PIP_$(printf %s "$1" | tr 'a-z-' 'A-Z_')
    { [[ -n "${!variable:-}" ]] && echo "${!variable}"; } ||
        "$python" -m pip config get "install.$1" 2>/dev/null ||
        "$python" -m pip config get "global.$1" 2>/dev/null || true
}
hand_over() { # UV_VARIABLE VALUE
    if [[ -n "$2" && -z "${!1:-}" ]]; then export "$1=$2"; fi
}
hand_over UV_DEFAULT_INDEX "${UV_INDEX_URL:-$(pip_setting index-url)}"
hand_over UV_INDEX "${UV_EXTRA_INDEX_URL:-$(pip_setting extra-index-url | xargs)}"
hand_over UV_FIND_LINKS "$(pip_setting find-links | xargs | tr ' ' ',')"
hand_over SSL_CERT_FILE "$(pip_setting cert)"
hand_over UV_HTTP_TIMEOUT "$(pip_setting timeout)"
hand_over UV_HTTP_TIMEOUT "$(pip_setting default-timeout)"
# As pip does: of all the indexes, the version asked for.
hand_over UV_INDEX_STRATEGY unsafe-best-match

# --- the environment ------------------------------------------------------------------------------------------
say "Python $(version_of "$python"), $("$uv" --version | cut -d' ' -f1-2), environment in .venv"
if [[ ! -x .venv/bin/python ]] || ! is_supported .venv/bin/python ||
    [[ -n "${PYTHON:-}" && "$(version_of .venv/bin/python)" != "$(version_of "$PYTHON")" ]]; then
    rm -rf .venv
    "$uv" venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
fi
# Compiled once here, TensorFlow and Keras start several times faster, also where Python may not write bytecode.
install() { "$uv" pip install --compile-bytecode --python .venv/bin/python -c constraints.txt "$@"; }

# Two steps, because the plugin is a source package that compiles against the installed TensorFlow and DALI.
first=("$tensorflow" setuptools wheel)
plugin=nvidia-dali-tf-plugin-cuda120
if [[ "$has_dali" == yes ]]; then first+=(nvidia-dali-cuda120); fi
say "Installing $tensorflow"
install "${first[@]}"
say "Installing tfdfd and the rest (on x86-64 Linux this compiles DALI's TensorFlow plugin: a minute)"
second=(--no-build-isolation-package "$plugin" -e ".[$extras]")
install "${second[@]}"

if [[ "$has_dali" == yes ]]; then
    check_plugin() { TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python -c 'import nvidia.dali.plugin.tf' >.venv/plugin.log 2>&1; }
    if ! check_plugin; then
        # uv may have kept a plugin that was compiled against another TensorFlow.
        say "Compiling DALI's TensorFlow plugin again"
        "$uv" cache clean --quiet "$plugin" || true
        install --reinstall-package "$plugin" "${second[@]}"
        check_plugin || fail "DALI's TensorFlow plugin does not import: $(tail -n 1 .venv/plugin.log)
  The whole message is in .venv/plugin.log. tfdfd works without it, through tf.data."
    fi
fi

# --- the GPUs -------------------------------------------------------------------------------------------------
device=()
if [[ "$gpu" == yes ]]; then
    say "Looking whether TensorFlow sees the GPUs"
    # TensorFlow's wheel does not find libcusolver where pip puts it; this links it, then asks TensorFlow.
    .venv/bin/tfdfd doctor --link-cuda ||
        fail "TensorFlow cannot use the GPUs of this machine; what it says, and what to do, is above."
elif nvidia-smi -L 2>/dev/null | grep -q .; then
    say "This machine has GPUs, and the CUDA libraries were not asked for: bash setup.sh --gpu installs them"
    device=(--cpu)
fi

# --- the demo -------------------------------------------------------------------------------------------------
if [[ "$demo" == yes ]]; then
    say "Running the main job on the demo: .venv/bin/python run_train.py --demo ${device[*]}"
    .venv/bin/python run_train.py --demo "${device[@]}"
fi
say "Done. Next:"
cat <<'EOF'
  .venv/bin/python -m pytest -n 2                  the tests
  .venv/bin/tfdfd doctor                           what this machine can do
  .venv/bin/python run_train.py --demo             the main job on the demo
  .venv/bin/python run_train.py --data DIR         the main job on your clips
EOF
