#!/bin/bash
# Runs every command of contrib/container/README.md as it stands, in namespaces without a network, and looks at
# what arrives at a smarthost on loopback, which is called relay.example.org there.
#
# usage: tests/container/run.sh       as root, on Debian or Ubuntu; installs podman and mmdebstrap where they are missing
#
# Images of others cannot be pulled here. In the place of Debian's, Alpine's and PHP's stands one that is made of
# Debian's packages, with php-cli and socat in it already; apt-get does nothing there, and PHP finds no sendmail, as in
# the official image. In the place of the distroless
# one stands a root without any program. So what is tested is what the recipes add, and not what they add it to.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"

if [ "${1:-}" != inside ]; then
    missing=()
    for pair in podman:podman runc:runc mmdebstrap:mmdebstrap; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    /usr/bin/python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
    if ((${#missing[@]})); then
        apt-get update -q >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work" target/spool target/remotes target/image' EXIT
    # Before the network is gone.
    # shellcheck disable=SC2016 # mmdebstrap expands it
    mmdebstrap --quiet --variant=essential --include=php-cli,socat \
        --customize-hook='rm -rf "$1"/usr/share/{doc,i18n,locale,man}/* "$1"/var/{cache,lib/apt}/*' \
        --customize-hook='echo "sendmail_path = /nonexistent" >"$1/etc/php/8.2/cli/conf.d/00-none.ini"' \
        --customize-hook='ln -s /bin/true "$1/usr/bin/apt-get"' bookworm "$work/base.tar"
    contrib/build-static.sh
    unshare --mount --net --pid --fork --kill-child --mount-proc "$0" inside "$work"
    exit
fi
work=$2

die() { echo "container/run.sh: $*" >&2; exit 1; }

# podman as it is called in the README, in what a CI machine allows: no systemd (so no timer for health checks),
# no overlay on an overlay, crun not everywhere. One layer an image: each is a copy where there is no overlay. The network is this namespace, so that the smarthost is in it.
driver=overlay
[ "$(stat -f -c %T "$work")" != overlayfs ] || driver=vfs
mkdir -p "$work/bin" "$work/store"
cat >"$work/bin/podman" <<WRAPPER
#!/bin/bash
store=(--root "$work/store/root" --runroot "$work/store/run" --tmpdir "$work/store/tmp" --storage-driver=$driver
    --runtime=runc --cgroup-manager=cgroupfs --events-backend=none)
command=\$1
shift
case \$command in
    run) more=(--network=host --add-host=relay.example.org:127.0.0.1 --no-healthcheck
        --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024) ;;
    build) more=(--isolation=chroot --layers=false) ;;
    *) more=() ;;
esac
exec $(command -v podman) "\${store[@]}" "\$command" "\${more[@]}" "\$@"
WRAPPER
chmod +x "$work/bin/podman"
PATH=$work/bin:$PATH

mkdir "$work/sink" "$work/nothing" "$work/nothing/tmp"
python3 tests/container/loopback.py "$work/sink" 25 &
until [ -e "$work/sink/ready" ]; do sleep 0.05; done

tar -C "$work/nothing" -cf "$work/nothing.tar" .
podman import --change 'ENV PHP_INI_DIR=/etc/php/8.2/cli' "$work/base.tar" docker.io/library/debian:12-slim >/dev/null 2>&1
podman tag docker.io/library/debian:12-slim docker.io/library/alpine:3 docker.io/library/php:8-cli
podman import "$work/nothing.tar" gcr.io/distroless/static-debian12:latest >/dev/null 2>&1

# Every sh block, one after the other; cargo has done its work and would ask the network.
# shellcheck disable=SC2016 # these are back quotes
sed -n '/^```sh$/,/^```$/{/^```/!p}' contrib/container/README.md >"$work/commands"
grep -q 'podman run' "$work/commands" || die "there are no commands in the README"
CARGO_NET_OFFLINE=true bash -euxo pipefail "$work/commands" >"$work/said" 2>&1 || {
    cat "$work/said"
    die "a command of the README failed"
}

arrived() { grep -lix "Subject: $1" "$work"/sink/[0-9]* 2>/dev/null | wc -l; }
for subject in "from the image" "from another user" "from debian" "from alpine" "from distroless" "from PHP" "over SMTP"; do
    for _ in {1..200}; do
        [ "$(arrived "$subject")" = 0 ] || break
        sleep 0.05
    done
    [ "$(arrived "$subject")" = 1 ] || { cat "$work/said"; die "$(arrived "$subject") messages \"$subject\" arrived"; }
    echo "$subject: ok"
done

# What the daemon did as process 1, read-only, as somebody else.
for name in mail other; do
    [ "$(podman inspect "$name" --format '{{.State.ExitCode}}')" = 0 ] || die "$name did not end well"
done
[ "$(podman inspect localhost/nullmailer --format '{{.Config.User}} {{.HealthCheck.Test}}')" = \
    "65532:65532 [CMD /usr/bin/nullmailer health]" ] || die "the image has no user or no health check"

code() {
    local code=0
    podman run --rm --read-only "$@" >"$work/said" 2>&1 || code=$?
    echo "$code"
}
expect() {
    if [ "$1" != "$2" ] || ! grep -q "$3" "$work/said"; then
        die "it ended with $1, not $2, and said: $(cat "$work/said")"
    fi
}
expect "$(code localhost/nullmailer)" 78 "NULLMAILER_REMOTES is not set"
expect "$(code --user 4242 -e NULLMAILER_REMOTES=relay.example.org localhost/nullmailer)" 77 \
    "belongs to uid 65532 and this runs as uid 4242"

# The examples that nothing here can run: they are YAML, and every variable is one that is known.
/usr/bin/python3 -c '
import sys, yaml
for path in sys.argv[1:]:
    assert all(yaml.safe_load_all(open(path))), path
' contrib/container/compose.yaml contrib/container/kubernetes.yaml
mapfile -t variables < <(grep -oh 'NULLMAILER_[A-Z_]*' contrib/container/*.yaml contrib/container/*ile contrib/container/README.md | sort -u)
set=()
for variable in "${variables[@]}"; do
    # The page speaks of NAME as of any control file.
    case $variable in *_NAME | *_NAME_FILE | *_) ;; *) set+=("$variable=x") ;; esac
done
said=$(env "${set[@]}" target/static/nullmailer health 2>&1 || true)
case $said in *"no such variable"*) die "$said" ;; esac
echo "examples: ok"
