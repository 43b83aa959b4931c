#!/usr/bin/env bash
# Prepares this checkout for one purpose: uv, the locked virtual environment and the system packages.
#
#   scripts/setup.sh demo|check|bench|test [ARGUMENT ...]
#
# The arguments are those of the demo: asked for containers, it also sees to their image.
# Safe to run again: what is there is left alone. Only root on Debian or Ubuntu gets packages installed;
# everybody else is told what to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# dockerd and others live in sbin, which an unprivileged PATH may lack.
export PATH="$PATH:/usr/sbin:/sbin:$HOME/.local/bin"

say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 3
}

have() { command -v "$1" >/dev/null 2>&1; }

can_install() { [ "$(id -u)" = 0 ] && have apt-get && have dpkg; }

apt_updated=""
install_packages() {
  local log
  log=$(mktemp)
  say "installing with apt-get: $*"
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "$apt_updated" ]; then
    if ! apt-get update -qq </dev/null >"$log" 2>&1; then
      cat "$log" >&2
      fail "apt-get update failed; check the package sources of this machine"
    fi
    apt_updated=yes
  fi
  if ! apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# A package is missing when what it provides is: a machine may have it from elsewhere.
provided() {
  case "$1" in
    bubblewrap) have bwrap ;;
    docker.io) have docker && { have dockerd || docker info >/dev/null 2>&1; } ;;
    iptables) have iptables ;;
    postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    ca-certificates) [ -s /etc/ssl/certs/ca-certificates.crt ] ;;
    *) have "$1" ;;
  esac
}

ensure_system_packages() {
  local missing=() still=() package
  for package in "$@"; do
    provided "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if can_install; then
    if ! install_packages "${missing[@]}"; then
      # One package that this release does not have must not keep the others away.
      for package in "${missing[@]}"; do
        install_packages "$package" || true
      done
    fi
  fi
  for package in "${missing[@]}"; do
    provided "$package" || still+=("$package")
  done
  [ ${#still[@]} -eq 0 ] || fail "please install: ${still[*]} (names as in Debian; as root on Debian or Ubuntu this script does it)"
}

python_is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if have "$candidate" && python_is_new_enough "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

ensure_python() {
  find_python >/dev/null && return 0
  if can_install; then
    say "no Python 3.11 or newer on this machine"
    install_packages python3 python3-venv || true
    find_python >/dev/null && return 0
    install_packages python3.11 python3.11-venv || true
    find_python >/dev/null && return 0
  fi
  say "no Python 3.11 or newer found; uv will try to download one (or install python3.11 yourself)"
}

find_uv() {
  if have uv; then
    command -v uv
  elif [ -x .bootstrap/bin/uv ]; then
    printf '%s\n' "$PWD/.bootstrap/bin/uv"
  else
    return 1
  fi
}

install_uv() {
  # uv runs on any Python 3; a virtual environment of its own leaves an externally managed system Python alone (PEP 668).
  have python3 || { can_install && install_packages python3 python3-venv; } || fail "please install python3"
  say "installing uv with pip into .bootstrap/"
  if ! python3 -m venv .bootstrap >/dev/null 2>&1; then
    rm -rf .bootstrap
    can_install && install_packages python3-venv
    if ! python3 -m venv .bootstrap >/dev/null 2>&1; then
      rm -rf .bootstrap
      say "python3 cannot make virtual environments (no python3-venv); installing uv for this user instead"
      python3 -m pip install --quiet --user uv 2>/dev/null ||
        python3 -m pip install --quiet --user --break-system-packages uv ||
        fail "could not install uv with pip; install python3-venv, or uv itself, and run this again"
      return
    fi
  fi
  .bootstrap/bin/python -m pip install --quiet --disable-pip-version-check uv ||
    fail "pip could not install uv; is the package index reachable?"
}

ensure_environment() {
  local uv python arguments=(sync --locked --all-extras)
  ensure_python
  find_uv >/dev/null || install_uv
  uv=$(find_uv) || fail "uv was installed but cannot be found on PATH"
  if [ ! -x .venv/bin/python ] && python=$(find_python); then
    arguments+=(--python "$python")
  fi
  # The demo needs none of the development tools; --inexact keeps them where they are already installed.
  [ "$1" != demo ] || arguments+=(--no-dev --inexact)
  [ -x .venv/bin/python ] || say "making the virtual environment .venv from uv.lock"
  "$uv" "${arguments[@]}" --quiet || fail "uv sync failed; see its message above"
}

purpose="${1:-}"
shift || true
case "$purpose" in
  demo)
    # An engine that has the sandbox image is a sandbox already; without one the demo runs in bubblewrap.
    docker image inspect hitl-sandbox:latest >/dev/null 2>&1 || ensure_system_packages bubblewrap
    ;;
  check | bench) ;;
  test)
    ensure_system_packages ca-certificates git bubblewrap docker.io iptables runsc redis-server postgresql \
      chromium debootstrap
    ;;
  *)
    fail "usage: scripts/setup.sh demo|check|bench|test"
    ;;
esac
ensure_environment "$purpose"

case "$purpose $*" in
  demo*"--sandbox docker"* | demo*"--sandbox=docker"* | demo*"--sandbox gvisor"* | demo*"--sandbox=gvisor"*)
    if ! docker image inspect hitl-sandbox:latest >/dev/null 2>&1; then
      docker info >/dev/null 2>&1 || fail "no Docker engine answers; start one, or leave --sandbox out"
      ensure_system_packages debootstrap
      say "building the sandbox image; this takes a minute or two, once"
      .venv/bin/hitl-executor image build
    fi
    ;;
esac
