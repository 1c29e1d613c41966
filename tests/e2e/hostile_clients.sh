#!/bin/bash
# Clients that mean harm.
exec python3 -B "$(dirname "$0")/hostile_clients.py" "$1"
