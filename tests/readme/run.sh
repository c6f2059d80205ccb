#!/bin/sh
# Runs every command of README.md, in its order, on a machine that has nothing of nullmailer on it.
#
#   tests/readme/run.sh
#
# Needs root, overlayfs, ip and the release binary. The machine is an overlay of this one's root (tests/interop/enter.sh)
# with a network of its own; smtp.example.net is a smarthost on its loopback address.
# The lines that begin with cargo are steps of .ci/run, which is asked whether it has them.
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run.sh: must be root" >&2; exit 77; }
[ -x target/release/nullmailer ] || { echo "run.sh: no target/release/nullmailer: build it first" >&2; exit 66; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/shared/project/target/release" "$work/machine"
cp -r README.md .ci contrib docs "$work/shared/project"
cp target/release/nullmailer "$work/shared/project/target/release"
cp tests/readme/machine.sh tests/readme/smarthost.py "$work/shared"
unshare --mount --pid --net --fork --kill-child sh tests/interop/enter.sh "$work/machine" "$work/shared" machine
