#!/usr/bin/env bash
# The tree as the design draws it: forbidden includes, long lines and files, missing guards.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python3 "$here/check_tree.py" --self-test
python3 "$here/check_tree.py"
