#!/bin/bash
# Sites of a real Slurm that hide, forbid, rename, refuse in words of their own, or are several.
exec python3 -B "$(dirname "$0")/slurm_sites.py" "$@"
