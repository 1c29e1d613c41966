#!/bin/bash
# Clusters come, change, drain and go while the daemon runs, and no job notices.
exec python3 -B "$(dirname "$0")/reload.py" "$@"
