#!/bin/bash
# Signals and the service manager.
exec python3 -B "$(dirname "$0")/signals.py" "$1"
