# What hostile shell programs share.
breach() { printf 'BREACH: %s\n' "$*"; }
must_fail() { local what=$1; shift; if "$@" >/dev/null 2>&1; then breach "$what"; fi; }
held() { echo held; }
given() { python3 -c 'import json, sys; print(json.load(open("/tmp/input.json"))[sys.argv[1]])' "$1"; }
