#!/bin/sh
# Installs nullmailer: one binary, a link for every name that callers know, the manual pages, the
# folder of control files and the spool. Running it again mends what is missing and changes nothing else.
#
# usage: install.sh [--check] [--set-uid] [--force]
#   --check     change nothing; one line for each thing that is missing or wrong, then exit 1
#   --set-uid   nullmailer-queue and mailq as set-uid copies, as the original has them, so that
#               users who may not write the spool can send and look
#   --force     replace programs of another mailer
#
# environment:
#   DESTDIR     put everything below this folder, for a package or an image; owners are then left
#               alone and no user is made
#   PREFIX      /usr
#   BINARY      the program to install: target/release/nullmailer beside this folder
#   OWNER       nullmail, who owns the spool and runs the daemon

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr}
BINARY=${BINARY:-$here/../target/release/nullmailer}
OWNER=${OWNER:-nullmail}

config=$DESTDIR/etc/nullmailer
spool=$DESTDIR/var/spool/nullmailer
program=$DESTDIR$PREFIX/bin/nullmailer

# Where each name goes, below $PREFIX. `smtp` and `qmqp` have one where scripts expect the
# protocol programs.
names='
bin/nullmailer-inject
bin/nullmailer-dsn
bin/nullmailer-smtpd
bin/mailq
bin/newaliases
bin/hoststat
bin/purgestat
sbin/nullmailer-send
sbin/nullmailer-queue
sbin/sendmail
sbin/send-mail
lib/sendmail
libexec/nullmailer/smtp
libexec/nullmailer/qmqp
'

# What is read and not run: where it goes below $PREFIX, and the file here.
documents() {
    for page in "$here"/../docs/man/*.[178]; do
        echo "share/man/man${page##*.}/${page##*/} $page"
    done
    echo "share/bash-completion/completions/nullmailer $here/completions/nullmailer.bash"
    echo "share/zsh/vendor-completions/_nullmailer $here/completions/_nullmailer"
    echo "share/fish/vendor_completions.d/nullmailer.fish $here/completions/nullmailer.fish"
}

die() {
    echo "install.sh: $*" >&2
    exit 1
}

check=no set_uid=no force=no
for argument in "$@"; do
    case $argument in
        --check) check=yes ;;
        --set-uid) set_uid=yes ;;
        --force) force=yes ;;
        --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "unknown option $argument; try --help" ;;
    esac
done

# The way from the folder of name $1 to the binary.
target() {
    case $1 in
        bin/*) echo nullmailer ;;
        libexec/*) echo ../../bin/nullmailer ;;
        *) echo ../bin/nullmailer ;;
    esac
}

wants_copy() {
    case $set_uid:$1 in
        yes:sbin/nullmailer-queue | yes:bin/mailq) return 0 ;;
        *) return 1 ;;
    esac
}

is_link() { [ -h "$1" ] && [ "$(readlink "$1")" = "$2" ]; }
is_copy() { [ -f "$1" ] && [ ! -h "$1" ] && cmp -s "$1" "$program"; }
exists() { [ -e "$1" ] || [ -h "$1" ]; }
has_mode() { [ -n "$(find "$1" -prune -perm "$2")" ]; }
has_owner() { [ -n "$(find "$1" -prune -user "$2" 2>/dev/null)" ]; }
is_live() { [ -z "$DESTDIR" ]; }

# ----------------------------------------------------------------------------------------- check

wrong=0
report() {
    echo "$1: $2"
    wrong=1
}

# $1 is of type $2 (a letter of test) and mode $3, and belongs to $4 on a live system.
check_node() {
    if ! exists "$1"; then
        report "$1" "is missing"
    elif ! test "-$2" "$1"; then
        report "$1" "is not a $5"
    elif ! has_mode "$1" "$3"; then
        report "$1" "its mode is not $3"
    elif is_live && ! has_owner "$1" "$4"; then
        report "$1" "its owner is not $4"
    fi
}

check_all() {
    check_node "$program" f 755 root file
    for name in $names; do
        path=$DESTDIR$PREFIX/$name
        if is_link "$path" "$(target "$name")" && ! wants_copy "$name"; then
            continue
        elif ! exists "$path"; then
            report "$path" "is missing"
        elif is_copy "$path" && [ -u "$path" ]; then
            if is_live && ! has_owner "$path" "$OWNER"; then
                report "$path" "its owner is not $OWNER"
            fi
        elif wants_copy "$name"; then
            report "$path" "is not a set-uid copy of $program"
        else
            report "$path" "is not a link to $program"
        fi
    done
    while read -r name source; do
        path=$DESTDIR$PREFIX/$name
        cmp -s "$source" "$path" || report "$path" "is missing, or not that of this version"
    done <<LIST
$(documents)
LIST
    check_node "$config" d 755 root folder
    if [ -f "$config/remotes" ] && [ -n "$(find "$config/remotes" -prune -perm -004)" ]; then
        report "$config/remotes" "everybody can read the passwords in it"
    fi
    check_node "$spool" d 755 "$OWNER" folder
    for folder in queue tmp failed status; do
        check_node "$spool/$folder" d 700 "$OWNER" folder
    done
    check_node "$spool/trigger" p 622 "$OWNER" FIFO
    if is_live && ! id "$OWNER" >/dev/null 2>&1; then
        report "user $OWNER" "is missing"
    fi
    return $wrong
}

if [ $check = yes ]; then
    check_all
    exit
fi

# --------------------------------------------------------------------------------------- install

[ -f "$BINARY" ] || die "cannot install $BINARY: no such file; run cargo build --release"
if is_live && [ "$(id -u)" != 0 ]; then
    die "cannot install into $PREFIX: not root; set DESTDIR to install elsewhere"
fi

# Look before the first change.
foreign=
for name in $names; do
    path=$DESTDIR$PREFIX/$name
    if exists "$path" && ! is_link "$path" "$(target "$name")" && ! is_copy "$path"; then
        foreign="$foreign $path"
    fi
done
if [ -n "$foreign" ] && [ $force = no ]; then
    die "cannot replace programs of another mailer:$foreign; remove its package, or use --force"
fi

if is_live && ! id "$OWNER" >/dev/null 2>&1; then
    if command -v useradd >/dev/null; then
        useradd --system --user-group --home-dir /var/spool/nullmailer --no-create-home \
            --shell /usr/sbin/nologin "$OWNER"
    elif command -v pw >/dev/null; then
        pw useradd "$OWNER" -d /var/spool/nullmailer -s /usr/sbin/nologin
    else
        adduser -S -D -H -h /var/spool/nullmailer -s /sbin/nologin "$OWNER"
    fi
fi

# A copy that takes the place of $2 at once, for whoever is running it.
copy() {
    cp "$1" "$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
}

# $1 becomes a folder of mode $2 that belongs to $3.
folder() {
    [ -d "$1" ] || mkdir -p "$1"
    has_mode "$1" "$2" || chmod "$2" "$1"
    own "$1" "$3"
}

own() {
    if is_live && ! has_owner "$1" "$2"; then
        chown "$2:" "$1"
    fi
}

for folder in bin sbin lib libexec/nullmailer; do
    mkdir -p "$DESTDIR$PREFIX/$folder"
done
cmp -s "$BINARY" "$program" || copy "$BINARY" "$program" 755
has_mode "$program" 755 || chmod 755 "$program"
own "$program" root

for name in $names; do
    path=$DESTDIR$PREFIX/$name
    if wants_copy "$name"; then
        # chown takes the set-uid bit away, so it comes last.
        copy "$program" "$path" 755
        own "$path" "$OWNER"
        chmod 4755 "$path"
    elif ! is_link "$path" "$(target "$name")"; then
        rm -f "$path"
        ln -s "$(target "$name")" "$path"
    fi
done

documents | while read -r name source; do
    path=$DESTDIR$PREFIX/$name
    mkdir -p "${path%/*}"
    cmp -s "$source" "$path" || copy "$source" "$path" 644
done

folder "$config" 755 root
folder "$spool" 755 "$OWNER"
for folder in queue tmp failed status; do
    folder "$spool/$folder" 700 "$OWNER"
done
if [ ! -p "$spool/trigger" ]; then
    rm -f "$spool/trigger"
    mkfifo "$spool/trigger"
fi
has_mode "$spool/trigger" 622 || chmod 622 "$spool/trigger"
own "$spool/trigger" "$OWNER"
