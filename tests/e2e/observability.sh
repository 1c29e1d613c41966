#!/bin/bash
# Metrics and the OpenAPI document.
exec python3 -B "$(dirname "$0")/observability.py" "$1"
