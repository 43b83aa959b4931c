#!/bin/sh
# Starts a Docker engine by hand where none answers (no systemd, as in CI), with gVisor's runtime when runsc is
# installed. Safe to run again: an engine that answers is kept, and told of the runtime when it lacks it.
set -eu

configuration=/etc/docker/daemon.json
log=${DOCKERD_LOG:-/var/log/dockerd.log}

answers() {
  docker info >/dev/null 2>&1
}

has_runsc() {
  docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q '"runsc"'
}

wait_until() {
  attempts=300
  until "$@"; do
    attempts=$((attempts - 1))
    [ "$attempts" -gt 0 ] || return 1
    sleep 0.1
  done
}

# Merges the runtime into the engine's configuration, unless it has one of its own making. The ptrace platform needs
# no hardware virtualisation; without --oci-seccomp runsc would leave the sandbox's filter out.
register_runsc() {
  mkdir -p "$(dirname "$configuration")"
  RUNSC=$1 /usr/bin/python3 - "$configuration" <<'PYTHON'
import json, os, pathlib, sys

path = pathlib.Path(sys.argv[1])
settings = json.loads(path.read_text()) if path.exists() and path.read_text().strip() else {}
runtime = {"path": os.environ["RUNSC"], "runtimeArgs": ["--platform=ptrace", "--network=none", "--oci-seccomp"]}
if settings.setdefault("runtimes", {}).get("runsc") is None:
    settings["runtimes"]["runsc"] = runtime
    path.write_text(json.dumps(settings, indent=2) + "\n")
PYTHON
}

command -v dockerd >/dev/null || { echo "dockerd is missing: apt-get install docker.io" >&2; exit 1; }
runsc=$(command -v runsc || true)
if [ -n "$runsc" ]; then
  register_runsc "$runsc"
fi

if ! answers; then
  echo "starting dockerd (log: $log)" >&2
  setsid dockerd >"$log" 2>&1 </dev/null &
  wait_until answers || { tail -n 5 "$log" >&2; echo "dockerd did not start" >&2; exit 1; }
fi

if [ -n "$runsc" ] && ! has_runsc; then
  # dockerd reads its runtimes again at SIGHUP; running containers are not touched.
  kill -HUP "$(cat /var/run/docker.pid)"
  wait_until has_runsc || { echo "the engine did not take up the runtime runsc" >&2; exit 1; }
fi
