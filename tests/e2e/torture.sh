#!/bin/bash
# A short torture of the daemon; tools/torture by itself takes more kills and other seeds.
exec "$(dirname "$0")/../../tools/torture" --bin "$1" --kills 20 --seed 1
