#!/bin/bash
# Rare turns of events.
exec python3 -B "$(dirname "$0")/edges.py" "$1"
