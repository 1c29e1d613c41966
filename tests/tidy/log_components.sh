#!/usr/bin/env bash
# Every component that a log line names can be given its own level, and every component that can be
# given a level writes lines.
set -euo pipefail
cd "$(dirname "$0")/../.."
used=$(grep -rhzoP 'write\([^;"]*log_severity::\w+[^;"]*?,\s*"\w+"|write\(severity,\s*"\w+"' \
         --include='*.cpp' actors runtime | tr '\0' '\n' | grep -oP '"\K\w+(?=")' | sort -u)
known=$(grep -oP '^ +\{"\K\w+(?=", ")' runtime/logging/components.cpp | sort -u)
[ -n "$used" ]
if ! diff <(echo "$known") <(echo "$used"); then
  echo "left: runtime/logging/components.cpp; right: what log lines name"
  exit 1
fi
