#!/bin/sh
# Mail to real servers: Postfix, Exim and OpenSMTPD as Debian packages them, on loopback.
#
#   tests/interop/run.sh [postfix|exim|opensmtpd|postfix-limits]...
#
# Needs root, apt-get and overlayfs. Each server is installed into an overlay of this machine's root, in a mount
# and process namespace of its own: nothing is left of it, and no service of this machine is touched.
# The binary is $BINARY, or target/debug/nullmailer; one with anonymous TLS, for that case, is $ANONYMOUS. The table goes to $MATRIX, or docs/interop.md.
set -eu

cd "$(dirname "$0")/../.."
binary=$(realpath "${BINARY:-target/debug/nullmailer}")
matrix=${MATRIX:-docs/interop.md}
[ $# -gt 0 ] || set -- postfix exim opensmtpd postfix-limits
[ "$(id -u)" = 0 ] || { echo "run.sh: must be root" >&2; exit 77; }
for needed in "$binary" ${ANONYMOUS:+"$ANONYMOUS"}; do
    [ -x "$needed" ] || { echo "run.sh: $needed is not there to be run: build it first" >&2; exit 66; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/shared"
cp tests/interop/*.sh tests/interop/bounces.py "$work/shared"
cp "$binary" "$work/shared/nullmailer"
[ -z "${ANONYMOUS:-}" ] || cp "$ANONYMOUS" "$work/shared/nullmailer-anonymous"
(cd "$work/shared" && sh ./certificates.sh)
: >"$work/shared/results"

for server; do
    mkdir "$work/$server"
    # --kill-child: whatever the server started ends with its namespace.
    unshare --mount --pid --fork --kill-child sh tests/interop/enter.sh "$work/$server" "$work/shared" "$server" ||
        printf '%s\t%s\tfailed\t%s\n' "$server" 'set-up' 'could not be installed or started' >>"$work/shared/results"
done

passed=$(grep -c '	passed	' "$work/shared/results" || true)
failed=$(grep -c '	failed	' "$work/shared/results" || true)
{
    echo '# Mail to real servers'
    echo
    # shellcheck disable=SC2016
    echo 'Written by `tests/interop/run.sh`: our nullmailer-send or protocol program against servers from Debian'
    echo "$(cat /etc/debian_version), over loopback. What each case expects is in \`tests/interop/\`."
    while IFS='	' read -r server label result note; do
        if [ "$server" != "${last:-}" ]; then
            last=$server
            printf '\n## %s\n| case | result | |\n|---|---|---|\n' "$(cat "$work/shared/$server.version" 2>/dev/null || echo "$server")"
        fi
        printf '| %s | %s | %s |\n' "$label" "$result" "$note"
    done <"$work/shared/results"
    printf '\n%s passed, %s failed\n' "$passed" "$failed"
} >"$work/matrix.md"
cp "$work/matrix.md" "$matrix"
[ ! -e "$work/shared/bounces.md" ] || cp "$work/shared/bounces.md" "${BOUNCES:-docs/bounces.md}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
