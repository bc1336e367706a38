#!/usr/bin/env bash
# The whole example from nothing; options go on to run.py.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
exec "$root/.venv/bin/python" "$root/examples/assistant/run.py" "$@"
