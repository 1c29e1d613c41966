#!/bin/bash
# File systems that fill up.
exec python3 -B "$(dirname "$0")/disk_full.py" "$1"
