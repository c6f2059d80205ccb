# shellcheck shell=sh
# usage: enter.sh FOLDER DEB, in namespaces of its own (run)
# Makes a Debian 12 below FOLDER with nullmailer 2.2 and the callers, and runs the checks.
set -eu
folder=$1 deb=$2
suite=bookworm original=1:2.2-4

mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$folder"
root=$folder/root
log=$folder/log
quietly() { "$@" >"$log" 2>&1 </dev/null || { echo "enter.sh: $* failed:"; tail -15 "$log"; exit 1; } >&2; }

# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk -v suite=$suite '$2 == suite { print $1; exit }')
[ -n "$mirror" ] || { echo "enter.sh: no mirror of $suite is in the apt sources of this machine" >&2; exit 1; }
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy:-}" ] || export http_proxy="$proxy"
quietly debootstrap --variant=minbase $suite "$root" "$mirror"

mount -t proc proc "$root/proc"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/tmpfs"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
echo us.example >"$root/etc/mailname"
# Nothing is started before the network is gone.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} "$@"
}
echo 'nullmailer nullmailer/relayhost string 127.0.0.1 smtp port=52525' | inside debconf-set-selections
quietly inside apt-get update -q
# For the way back, when there is no network: apt takes it from its cache.
quietly inside apt-get install -qy --no-install-recommends --download-only "nullmailer=$original"
cp "$root"/var/cache/apt/archives/nullmailer_*.deb "$folder"
quietly inside apt-get install -qy --no-install-recommends "nullmailer=$original" bsd-mailx cron php-cli
cp "$folder"/nullmailer_*.deb "$root/var/cache/apt/archives/"
cp "$deb" "$root/ours.deb"
# There is no init here; with this, packages start and stop daemons by their init scripts.
printf '#!/bin/sh\nexit 0\n' >"$root/usr/sbin/policy-rc.d"

unshare --net sh -c 'ip link set lo up && exec python3 tests/migrate/checks.py "$@"' sh "$root" "$original"
