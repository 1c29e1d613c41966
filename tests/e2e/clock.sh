#!/bin/bash
# A system clock that is set while the daemon runs.
exec python3 -B "$(dirname "$0")/clock.py" "$1"
