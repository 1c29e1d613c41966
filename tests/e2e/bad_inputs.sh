#!/bin/bash
# What clients should not send.
exec python3 -B "$(dirname "$0")/bad_inputs.py" "$1"
