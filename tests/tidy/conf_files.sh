#!/usr/bin/env bash
# The files of conf/ are what their own tools accept.
set -euo pipefail
conf=$(cd "$(dirname "$0")/../../conf" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if command -v promtool >/dev/null; then
  promtool check rules "$conf/prometheus/ved-rules.yml"
  promtool test rules "$conf/prometheus/ved-rules-test.yml"
else
  echo "promtool is not installed: alerts not checked"
fi

if command -v systemd-analyze >/dev/null; then
  # The programs of the unit need not be installed to check the unit.
  sed 's|/usr/bin/ved|/bin/true|' "$conf/ved.service" >"$work/ved.service"
  # It also speaks about other units of the machine, which are not ours to judge.
  if problems=$(systemd-analyze verify "$work/ved.service" 2>&1 | grep -F ved.service); then
    echo "$problems"
    exit 1
  fi
else
  echo "systemd-analyze is not installed: unit not checked"
fi
