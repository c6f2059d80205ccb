# What happens on the machine of run.sh: the README's blocks, each in a shell of its own, until the mail has arrived.
set -eu
ip link set lo up
mkdir /run/shims
cd /run

# There is no systemd in a chroot: what the unit says is done by hand.
cat >shims/systemctl <<'SH'
#!/bin/sh
unit=/etc/systemd/system/nullmailer.service
setting() { sed -n "s/^$1=//p" $unit; }
mkdir -p "/run/$(setting RuntimeDirectory)"
chown "$(setting User):" "/run/$(setting RuntimeDirectory)"
# The journal is there before the service.
: >/run/journal
# shellcheck disable=SC2046
setpriv --reuid="$(setting User)" --regid="$(setting Group)" --clear-groups $(setting ExecStart) >>/run/journal 2>&1 &
SH
cat >shims/journalctl <<'SH'
#!/bin/sh
tail -n "${4:?journalctl -u nullmailer -n LINES}" /run/journal
SH
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "$@"\n' >shims/sudo
chmod +x shims/*
PATH=/run/shims:$PATH

# smtp.example.net has a certificate of an authority that this machine trusts.
echo '127.0.0.1 localhost smtp.example.net' >/etc/hosts
{
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=readme authority' -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=smarthost -keyout key.pem -out request.pem
    echo 'subjectAltName=DNS:smtp.example.net' >names
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out certificate.pem
} 2>/dev/null
mkdir -p /etc/ssl/certs
cat ca.pem >>/etc/ssl/certs/ca-certificates.crt
touch arrived
python3 /interop/smarthost.py 587 certificate.pem key.pem me@example.net 'my pass phrase' arrived &

cd /interop/project
awk -v to=/run/block '/^```sh$/ { n++; inside = 1; next } /^```$/ { inside = 0 } inside { print >(to n) }' README.md
blocks=0 steps=0
for block in $(seq 99); do
    [ -e "/run/block$block" ] || break
    while read -r line; do
        case $line in
            cargo*)
                grep -qxF "step $line" .ci/run || grep -qF "step $line " .ci/run ||
                    { echo "README.md: .ci/run has no step: $line" >&2; exit 1; }
                steps=$((steps + 1))
                ;;
        esac
    done <"/run/block$block"
    sed '/^cargo/d' "/run/block$block" >/run/commands
    [ -s /run/commands ] || continue
    sed 's/^/$ /' /run/commands
    sh -eu /run/commands
    blocks=$((blocks + 1))
done

for _ in $(seq 200); do
    [ -s /run/arrived ] && [ -z "$(mailq)" ] && break
    sleep 0.1
done
cat /run/journal
grep -q '^It works' /run/arrived || { echo 'README.md: the message did not arrive' >&2; exit 1; }
[ -z "$(mailq)" ] || { echo 'README.md: the message still waits' >&2; exit 1; }
contrib/install.sh --check
echo "README.md: $blocks blocks were run and $steps are steps of .ci/run; the message arrived"
