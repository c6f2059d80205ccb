# What the cases of all servers are made of. Each server's file sets INBOX, a folder whose files are delivered mail.

CA='x509cafile=/interop/ca.pem'

install_packages() {
    apt-get -qq update >/dev/null 2>&1 || true
    apt-get -qq install -y --no-install-recommends "$@" >/interop/apt.log 2>&1 ||
        { tail -5 /interop/apt.log >&2; exit 1; }
}

version() { # NAME PACKAGE
    printf '%s %s\n' "$1" "$(dpkg-query -W -f '${Version}' "$2")" >"/interop/$SERVER.version"
}

# Installs Postfix and has it deliver mail for x.example to INBOX. The rest of its main.cf is stdin.
install_postfix() { # NAME [PACKAGE]...
    name=$1
    shift
    install_packages postfix "$@" </dev/null
    version "$name" postfix
    INBOX=/var/mail/inbox
    mkdir -p $INBOX/box && chown -R mail:mail $INBOX
    cat >/etc/postfix/main.cf <<'EOF'
compatibility_level = 3.6
myhostname = mail.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/mail.log
virtual_mailbox_domains = x.example
virtual_mailbox_base = /var/mail/inbox
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_minimum_uid = 1
mynetworks = 127.0.0.0/8
EOF
    cat >>/etc/postfix/main.cf
    # Nothing on port 25, and no chroot in a chroot.
    sed -i -E '/^smtp +inet/d; s/^([a-z]+ +(unix|inet|fifo) +[^ ]+ +[^ ]+) +y /\1 n /' /etc/postfix/master.cf
}

# A port of loopback on which something listens.
wait_for_port() {
    for _ in $(seq 200); do
        bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null && return
        sleep 0.1
    done
    echo "nothing listens on $1" >&2
    return 1
}

row() { # LABEL RESULT NOTE
    printf '%s\t%s\t%s\t%s\n' "$SERVER" "$1" "$2" "$(printf '%s' "$3" | tr '\t|' ' /')" >>/interop/results
    printf '%s: %s: %s %s\n' "$SERVER" "$1" "$2" "$3"
}

# A house of its own for each case.
house() {
    H=$(mktemp -d)
    mkdir "$H/conf" "$H/queue" "$H/protocols" "$H/sbin"
    echo us.example >"$H/conf/me"
    echo 0 >"$H/conf/pausetime"
    export NULLMAILER_TEST_PREFIX="$H"
}

# Queues one message and lets the daemon go through the queue once.
# With BEFORE set there is one more message of the same sender, for the same session.
send() { # REMOTE-LINE RECIPIENT [BODY-FILE]
    house
    printf '%s\n' "$1" >"$H/conf/remotes"
    TOKEN=token-$(basename "$H")
    if [ -n "${BEFORE:-}" ]; then
        printf 'sender@us.example\n%s\n\nSubject: before %s\n\nx\n' "$2" "$TOKEN" | /interop/nullmailer queue
    fi
    { printf 'sender@us.example\n%s\n\nSubject: %s\n\n.a line with a dot\n' "$2" "$TOKEN"; cat "${3:-/dev/null}"; } |
        /interop/nullmailer queue || { LOG='cannot queue'; return; }
    LOG=$(/interop/nullmailer send 2>&1) || LOG="$LOG (exit $?)"
}

last_line() { printf '%s\n' "$LOG" | grep -E ' (sent|deferred|failed) |Sending failed|Sent file' | tail -1; }

# The file with the message; it may take the server a moment. What lies in the tmp of a Maildir is not there yet.
arrived() {
    for _ in $(seq 100); do
        FOUND=$(grep -rl --exclude-dir=tmp "^Subject: $TOKEN" "$INBOX" 2>/dev/null | head -1)
        [ -n "$FOUND" ] && return
        sleep 0.1
    done
    return 1
}

# The message arrives whole, and the server says it came "with PATTERN".
arrives() { # LABEL REMOTE-LINE PATTERN [RECIPIENT] [BODY-FILE]
    send "$2" "${4:-inbox@x.example}" "${5:-/dev/null}"
    if ! arrived; then
        row "$1" failed "did not arrive: $(last_line)"
        printf '%s\n' "$LOG" >&2
        return
    fi
    with=$(tr '\n' ' ' <"$FOUND" | grep -oiE "with ($3)([ ;(]|$)" | head -1)
    if [ -z "$with" ]; then
        row "$1" failed "not with $3: $(tr '\n' ' ' <"$FOUND" | grep -oiE 'with [a-z0-9]+' | head -1)"
    elif ! grep -q '^\.a line with a dot' "$FOUND"; then
        row "$1" failed 'the text is not what was sent'
    elif [ -n "$(ls "$H/queue/queue")" ]; then
        row "$1" failed 'it arrived and is still queued'
    else
        row "$1" passed "$(printf '%s' "$with" | tr -d ' ;(' | sed 's/^with/with /')"
    fi
    rm -rf "$H"
}

# The message stays in the queue, nothing bounces, and the log says why.
stays() { # LABEL REMOTE-LINE PATTERN [RECIPIENT] [NOTE]
    send "$2" "${4:-inbox@x.example}"
    if [ "$(ls "$H/queue/queue" | wc -l)" = 1 ] && [ -z "$(ls "$H/queue/failed")" ] &&
        printf '%s\n' "$LOG" | grep -qE "$3"; then
        row "$1" passed "${5:-kept: $(printf '%s\n' "$LOG" | grep -oE "$3" | head -1)}"
    else
        row "$1" failed "$(last_line)"
        printf '%s\n' "$LOG" >&2
    fi
    rm -rf "$H"
}

# The message is given up, and the log says why.
bounces() { # LABEL REMOTE-LINE PATTERN RECIPIENT [BODY-FILE]
    send "$2" "$4" "${5:-/dev/null}"
    if [ "$(ls "$H/queue/failed" | wc -l)" -ge 1 ] && printf '%s\n' "$LOG" | grep -qE "$3"; then
        row "$1" passed "bounced: $(printf '%s\n' "$LOG" | grep -oE "$3" | head -1)"
    else
        row "$1" failed "$(last_line)"
        printf '%s\n' "$LOG" >&2
    fi
    rm -rf "$H"
}

# Something that the server has to write into its log; it may take it a moment.
says() { # LABEL FILE PATTERN
    for _ in $(seq 100); do
        grep -qE "$3" "$2" && break
        sleep 0.1
    done
    if grep -qE "$3" "$2"; then
        row "$1" passed "by the server's log"
    else
        row "$1" failed "$3 is not in the server's log"
    fi
}

# 2 MiB of text.
big_body() { yes 'a line of a long message that goes on and on' | head -c 2097152 >/interop/big; echo /interop/big; }
