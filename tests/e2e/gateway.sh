#!/bin/bash
# The gateway against strangers and against its own renewals.
exec python3 -B "$(dirname "$0")/gateway.py" "$1"
