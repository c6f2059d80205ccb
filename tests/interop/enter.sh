# usage: enter.sh FOLDER SHARED SERVER, in namespaces of its own (run.sh)
# Lays an overlay over this machine's root, goes in, installs the server and runs its cases.
set -eu
folder=$1 shared=$2 server=$3

mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
root=$folder/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/interop"
mount --bind "$shared" "$root/interop"
cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
# Nothing is started by its package.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    sh "/interop/$server.sh"
