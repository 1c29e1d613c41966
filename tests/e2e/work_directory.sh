#!/bin/bash
# Work directories of local clusters that are moved or full.
exec python3 -B "$(dirname "$0")/work_directory.py" "$1"
