#!/bin/sh
# Builds one fully static binary, target/static/nullmailer, that needs nothing of the system it runs on.
#
# usage: build-static.sh [TARGET]
#   TARGET  as `rustc --print target-list` has it. Default: this machine, with glibc. With musl
#           (x86_64-unknown-linux-musl, after `rustup target add`) the binary is smaller still.
#
# environment:
#   CARGO_TARGET_DIR   target, as with cargo

set -eu

cd "$(dirname "$0")/.."
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
folder=${CARGO_TARGET_DIR:-target}

case $target in
    *-musl)
        # The C in our dependencies needs no header of musl's own.
        command -v musl-gcc >/dev/null ||
            export "CC_$(echo "$target" | tr - _)=${CC:-cc}"
        ;;
esac

# Where a target is named, these flags are for it alone: what runs while building is built as ever.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
    cargo rustc --profile static --target "$target" --bin nullmailer -- \
    -C link-arg=-Wl,-T,"$PWD/contrib/static.ld" -C link-arg=-Wl,--no-eh-frame-hdr \
    -C link-arg=-Wl,--pack-dyn-relocs=relr -C link-arg=-Wl,--icf=all

mkdir -p "$folder/static"
cp "$folder/$target/static/nullmailer" "$folder/static/nullmailer"
echo "$folder/static/nullmailer: $(wc -c <"$folder/static/nullmailer") bytes"
