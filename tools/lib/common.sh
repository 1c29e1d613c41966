# Shared by quickstart and test: what they need from Debian 12, and how they build.
# shellcheck shell=bash

build_packages=(
  g++ cmake ninja-build ccache mold pkg-config
  libcaf-dev libprotobuf-dev protobuf-compiler librocksdb-dev libssh2-1-dev
  libcurl4-openssl-dev libsodium-dev nlohmann-json3-dev catch2 libboost-dev libyaml-cpp-dev
  libspdlog-dev libcli11-dev prometheus-cpp-dev libexpected-dev libpugixml-dev libssl-dev
  librapidcheck-dev libbenchmark-dev
)
test_packages=(clang libclang-rt-14-dev prometheus python3 openssl curl util-linux zsh fish tcsh
               faketime)
# The private real Slurm of tools/slurm_bed.
slurm_packages=(
  munge slurm-wlm slurmctld slurmd slurm-client slurm-wlm-basic-plugins slurm-wlm-mysql-plugin
  slurmdbd mariadb-server openssh-server openssh-client python3 gcc libc6-dev
)
# The OpenAPI document is checked by a validator from npm; any npm will do.
command -v npm >/dev/null || test_packages+=(nodejs npm)

say() { printf '== %s\n' "$*"; }

# Runs a command and says how long it took.
timed() {
  local what=$1 begin=$SECONDS
  shift
  say "$what"
  "$@"
  say "$what: $((SECONDS - begin)) s"
}

# Installs the Debian packages that are missing; needs root or sudo only if there are any.
install_packages() {
  local missing=() package service
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "these packages are missing, and installing them needs root: ${missing[*]}" >&2
      return 1
    }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  # Programs are wanted, not services: none of the new ones starts, neither now nor at boot.
  local policy=/usr/sbin/policy-rc.d done_well=yes
  (
    if [ ! -e "$policy" ]; then
      trap '"${as_root[@]}" rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
  ) || done_well=no
  for package in "${missing[@]}"; do
    case $package in
      openssh-server) service=ssh ;;
      mariadb-server) service=mariadb ;;
      munge | slurmctld | slurmd | slurmdbd | prometheus) service=$package ;;
      *) continue ;;
    esac
    "${as_root[@]}" systemctl disable "$service" >/dev/null 2>&1 || true
  done
  [ "$done_well" = yes ]
}

# build_tree PRESET TARGET...
build_tree() {
  local preset=$1 directory=build
  shift
  [ "$preset" = default ] || directory=build/$preset
  [ -f "$directory/build.ninja" ] || cmake --preset "$preset" >"/tmp/ved-configure.$$" 2>&1 || {
    cat "/tmp/ved-configure.$$"
    return 1
  }
  rm -f "/tmp/ved-configure.$$"
  ninja -C "$directory" "$@" | tail -n 3
  return "${PIPESTATUS[0]}"
}
