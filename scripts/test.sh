#!/usr/bin/env bash
# Starts what the tests talk to and runs them; pytest's summary is the last thing printed and its exit code is ours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin:/sbin"

# As root this also makes gVisor's runtime known to an engine that is up already.
if [ "$(id -u)" = 0 ] || ! docker info >/dev/null 2>&1; then
  scripts/start_docker.sh
fi
docker image inspect hitl-sandbox:latest >/dev/null 2>&1 || hitl-executor image build

# Most tests wait for processes, disks and engines, so two at a time are not slower on two cores. A file stays with one
# worker, which keeps what its tests share; tests/conftest.py puts the long files first.
# `make test ARGS="-n 0"` runs them one by one.
exec pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
