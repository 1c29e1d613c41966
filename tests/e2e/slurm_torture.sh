#!/bin/bash
# A short torture of the daemon with a private real Slurm; tools/torture by itself takes more kills.
exec "$(dirname "$0")/../../tools/torture" --scheduler slurm --bin "$1" --kills 8 --seed 1
