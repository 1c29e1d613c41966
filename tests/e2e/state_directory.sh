#!/bin/bash
# State directories that cannot be used.
exec python3 -B "$(dirname "$0")/state_directory.py" "$1"
