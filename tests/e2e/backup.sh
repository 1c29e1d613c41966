#!/bin/bash
# Backup and restoration of the event log.
exec python3 -B "$(dirname "$0")/backup.py" "$1"
