#!/bin/sh
# Makes a root file system of the host's own Debian or Ubuntu release, with the interpreters and the updates that the
# host's apt knows of, from the mirrors that it uses; no image registry is needed. As root. Arguments: the tar archive to
# write, and the packages of the languages with commas between them.
set -eu

archive=$1
packages=$2
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root" >&2; exit 1; }

. /etc/os-release
suite=${VERSION_CODENAME:?the release of this host is unknown}
# As apt itself resolves its sources: the first one for exactly this release, under its code name or as written.
indexes=$(apt-get indextargets --format '$(CODENAME)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)|$(ORIGIN)' \
  'Created-By: Packages' 2>/dev/null || true)
each_index() { echo "$indexes" | while IFS='|' read -r codename release uri component origin; do "$1"; done; }
of_the_release() { if [ "$codename" = "$suite" ] || [ "$release" = "$suite" ]; then echo "$uri $origin"; fi; }
release_at=$(each_index of_the_release | head -n 1)
mirror=${release_at%% *}
publisher=${release_at#* }
[ -n "$mirror" ] || { echo "apt on this host has no source for $suite; run apt-get update" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# Set even where the temporary directory forbids others: it becomes the image's "/".
chmod 755 "$root"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >&2 \
  || { tail -n 5 "$root/debootstrap/debootstrap.log" >&2 2>/dev/null; exit 1; }

# Updates lie beside the release, in indexes that debootstrap does not read. The host's apt downloads them, as it has the
# keys, proxies and accounts for its mirrors. Nothing is taken of other publishers, of other releases or of backports.
update_source() {
  case "$origin|$codename|$release" in
    *-backports* | *-proposed*) ;;
    "$publisher|$suite"[-\|]* | "$publisher|"*"|$suite"[-/]*) echo "deb $uri $release $component" ;;
  esac
}
sources=$root/etc/apt/sources.list
each_index update_source >"$sources"
grep -q -e -security -e /updates "$sources" \
  || echo "apt on this host has no source of security updates for $suite: the image will have none" >&2
rm -f "$root"/var/cache/apt/archives/*.deb
apt-get --quiet --yes --download-only --no-install-recommends --with-new-pkgs \
  --option Dir::State::status="$root/var/lib/dpkg/status" --option Dir::Cache="$root/var/cache/apt" \
  --option Dir::Etc::SourceList="$sources" --option Dir::Etc::SourceParts=/dev/null \
  --option Dir::Etc::Preferences=/dev/null --option Dir::Etc::PreferencesParts=/dev/null upgrade >&2 \
  || { echo "updates of $suite could not be downloaded; run apt-get update and try again" >&2; exit 1; }
if ls "$root"/var/cache/apt/archives/*.deb >/dev/null 2>&1; then
  DEBIAN_FRONTEND=noninteractive chroot "$root" sh -c 'dpkg --install /var/cache/apt/archives/*.deb' >&2
fi
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
  "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*
rm -f "$root"/etc/resolv.conf "$root"/etc/hostname
tar --create --file "$archive" --numeric-owner --one-file-system --directory "$root" .
