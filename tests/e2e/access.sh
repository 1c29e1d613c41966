#!/bin/bash
# Tokens, scopes and limits.
exec python3 -B "$(dirname "$0")/access.py" "$1"
