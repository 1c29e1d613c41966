#!/bin/bash
# Problems of a configuration file.
exec python3 -B "$(dirname "$0")/config_check.py" "$1"
