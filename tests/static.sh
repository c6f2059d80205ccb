#!/bin/bash
# The static binary in an empty root, without a network: it holds the program, /etc/hosts, /etc/resolv.conf, and a
# spool, the only place that can be written. Everything runs as uid 4242, who has no entry anywhere.
#
# usage: tests/static.sh [BINARY]      default: target/static/nullmailer; as root
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
binary=$(readlink -f "${1:-$here/target/static/nullmailer}")
most=3400000

if [ "${2:-}" != inside ]; then
    # Mounts, processes and the network of our own, which all end with us.
    exec unshare --mount --net --pid --fork --kill-child "$0" "$binary" inside
fi

die() { echo "static.sh: $*" >&2; exit 1; }

size=$(wc -c <"$binary")
echo "$binary: $size bytes"
((size <= most)) || die "more than $most bytes"
case $(ldd "$binary" 2>&1 || true) in
    *"not a dynamic executable"* | *"statically linked"*) ;;
    *) die "ldd says that it is dynamic" ;;
esac

work=$(mktemp -d)
trap 'umount -R "$work/root" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/root/etc" "$work/root/spool" "$work/spool" "$work/sink"
cp "$binary" "$work/root/nullmailer"
echo "127.0.0.1 localhost relay.hosts.test" >"$work/root/etc/hosts"
echo "nameserver 127.0.0.1" >"$work/root/etc/resolv.conf"
chown 4242:4242 "$work/spool"
chmod 755 "$work"
mount --bind "$work/root" "$work/root"
mount --bind "$work/spool" "$work/root/spool"
mount -o remount,bind,ro "$work/root"
[ "$(cd "$work/root" && find . -type f | sort | xargs)" = "./etc/hosts ./etc/resolv.conf ./nullmailer" ] ||
    die "the root is not empty"

python3 "$here/tests/container/loopback.py" "$work/sink" 2525 &
until [ -e "$work/sink/ready" ]; do sleep 0.05; done

as_user=("$(command -v chroot)" --userspec=4242:4242 "$work/root" /nullmailer)
common=(NULLMAILER_SPOOL_DIR=/spool NULLMAILER_ME=host.test NULLMAILER_ADMINADDR=root@x.test)
run() { env -i "${common[@]}" "${set[@]}" "${as_user[@]}" "$@"; }
arrived() { find "$work/sink" -name "[0-9]*" ! -name "*.new" | wc -l; }
# $1 is how many messages the sink has by now; the daemon may need a moment.
expect_arrived() {
    for _ in {1..600}; do
        [ "$(arrived)" != "$1" ] || return 0
        sleep 0.05
    done
    die "$(arrived) messages have arrived, not $1"
}
message() { printf 'To: you@x.test\nSubject: %s\n\nhello\n' "$1"; }

set=(TMPDIR=/spool)
run demo </dev/null | grep -q "^== It arrived intact, and the queue is empty" || die "demo failed"
echo "demo: ok"

# A name of /etc/hosts.
set=(NULLMAILER_REMOTES="relay.hosts.test smtp port=2525" NULLMAILER_PAUSETIME=0)
message queued | run sendmail -t
run mailq | grep -q "^  to <you@x.test>$" || die "mailq does not show the message"
run send >"$work/log"
expect_arrived 1
[ -z "$(run mailq)" ] || die "the queue is not empty"
grep -q "^From: .*<unknown@host.test>$" "$work/sink/1" || die "no From for a user without an entry"
grep -q "^Date: .* +0000$" "$work/sink/1" || die "the date is not in UTC"
echo "sendmail -t, mailq, send: ok"

# A name of the name server.
set=(NULLMAILER_REMOTES="relay.dns.test smtp port=2525")
message direct | run sendmail -odi -t
expect_arrived 2
[ -z "$(run mailq)" ] || die "the queue is not empty"
set=(NULLMAILER_REMOTES="other.dns.test smtp port=2525")
message waits | run sendmail -odi -t
[ -n "$(run mailq)" ] || die "what could not be delivered is not queued"
set=(NULLMAILER_REMOTES="relay.dns.test smtp port=2525")
message takes-along | run sendmail -odi -t
expect_arrived 4
echo "sendmail -odi: ok"

if run health 2>"$work/said"; then die "health without a daemon"; fi
grep -q "no daemon listens" "$work/said" || die "health said: $(cat "$work/said")"
env -i "${common[@]}" "${set[@]}" "${as_user[@]}" send >"$work/log" &
daemon=$!
until run health 2>/dev/null; do sleep 0.05; done
message daemon | run sendmail -t
expect_arrived 5
kill -TERM "$daemon"
wait "$daemon" || die "the daemon ended with $?"
echo "send, health: ok"
