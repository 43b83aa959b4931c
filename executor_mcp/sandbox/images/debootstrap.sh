#!/bin/sh
# Makes a root file system of the host's own Debian or Ubuntu release, with the interpreters, from the mirror that the
# host's apt uses; no image registry is needed. As root. Arguments: the tar archive to write, and the packages of the
# languages with commas between them.
set -eu

archive=$1
packages=$2
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root" >&2; exit 1; }

. /etc/os-release
suite=${VERSION_CODENAME:?the release of this host is unknown}
# As apt itself resolves its sources: the first one for exactly this release, under its code name or as written.
mirror=$(apt-get indextargets --format '$(CODENAME)|$(RELEASE)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null \
  | while IFS='|' read -r codename release uri; do
    if [ "$codename" = "$suite" ] || [ "$release" = "$suite" ]; then echo "$uri"; break; fi
  done)
[ -n "$mirror" ] || { echo "apt on this host has no source for $suite; run apt-get update" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# Set even where the temporary directory forbids others: it becomes the image's "/".
chmod 755 "$root"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >&2 \
  || { tail -n 5 "$root/debootstrap/debootstrap.log" >&2 2>/dev/null; exit 1; }
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
  "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*
rm -f "$root"/etc/resolv.conf "$root"/etc/hostname
tar --create --file "$archive" --numeric-owner --one-file-system --directory "$root" .
