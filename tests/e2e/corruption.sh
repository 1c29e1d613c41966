#!/bin/bash
# Damaged event logs.
exec python3 -B "$(dirname "$0")/corruption.py" "$1"
