# Sourced by the proofs with the name of their module in `module`: runs it in the checkout's environment, from any directory.
here=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
python="$here/../../.venv/bin/python"
[ -x "$python" ] || { echo "$(basename -- "$0"): $python is not set up; run scripts/test or scripts/demo once" >&2 && exit 2; }
exec "$python" -P -m "scripts.prove.$module" "$@"
