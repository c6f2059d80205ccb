# Postfix servers that do not take mail as fast as one would like: greylisting, few recipients at once, one
# connection at a time. The daemon works off a backlog; everything has to arrive once, over few connections.
# Run inside the overlay by enter.sh.
set -eu
SERVER=postfix-limits
. /interop/lib.sh

install_postfix 'Postfix, with limits' <<'EOF'
smtpd_client_event_limit_exceptions =
EOF
cat >>/etc/postfix/master.cf <<'EOF'
127.0.0.1:52511 inet n - n - - smtpd -o syslog_name=grey -o { smtpd_recipient_restrictions = check_policy_service unix:private/grey, permit_mynetworks, reject }
127.0.0.1:52512 inet n - n - - smtpd -o syslog_name=few -o smtpd_recipient_limit=10
127.0.0.1:52513 inet n - n - - smtpd -o syslog_name=one -o smtpd_client_connection_count_limit=1 -o { smtpd_recipient_restrictions = check_policy_service unix:private/slow, permit_mynetworks, reject }
grey unix - n n - - spawn user=nobody argv=/bin/sh /usr/local/bin/grey
slow unix - n n - - spawn user=nobody argv=/bin/sh /usr/local/bin/slow
EOF
# A triple is refused until three seconds after it was first seen.
cat >/usr/local/bin/grey <<'EOF'
triple=
while read -r line; do
    case $line in
    client_address=* | sender=* | recipient=*) triple=$triple,${line#*=} ;;
    '')
        seen=/tmp/grey/$triple
        [ -e "$seen" ] || date +%s >"$seen"
        if [ $(($(date +%s) - $(cat "$seen"))) -ge 3 ]; then
            printf 'action=dunno\n\n'
        else
            printf 'action=450 4.2.0 greylisted\n\n'
        fi
        triple=
        ;;
    esac
done
EOF
cat >/usr/local/bin/slow <<'EOF'
while read -r line; do
    [ -n "$line" ] || { sleep 0.1; printf 'action=dunno\n\n'; }
done
EOF
mkdir -m 777 /tmp/grey
postfix start >/dev/null 2>&1
for port in 52511 52512 52513; do wait_for_port $port; done

COUNT=40

# COUNT messages go to the daemon at once, and every recipient has his mail in the end. The server's log must not
# show more connections than MOST allows, those that it refused included; MOST may name $refused, attempts in vain.
all_arrive() { # LABEL NAME PORT RECIPIENTS-PER-MESSAGE MOST
    house
    echo "127.0.0.1 smtp port=$3" >"$H/conf/remotes"
    printf '1\n' >"$H/conf/pausetime"
    : >/interop/wanted
    for message in $(seq $COUNT); do
        { echo sender@us.example
          for recipient in $(seq "$4"); do echo "$2.$message.$recipient@x.example"; done | tee -a /interop/wanted
          printf '\nSubject: %s\n\ntext\n' "$message"; } | /interop/nullmailer queue
    done
    # What asked whether the port is open counts for nothing.
    before=$(grep -c "^.* $2/smtpd.*: connect from" /var/log/mail.log || true)
    begun=$(date +%s)
    /interop/nullmailer send >"$H/log" 2>&1 &
    daemon=$!
    for _ in $(seq 600); do
        [ -n "$(ls "$H/queue/queue")" ] || break
        sleep 0.1
    done
    took=$(($(date +%s) - begun))
    kill $daemon
    wait $daemon || true
    connections=$(($(grep -c "^.* $2/smtpd.*: connect from" /var/log/mail.log) - before))
    for _ in $(seq 100); do
        grep -rhoE "^Delivered-To: $2\..*" $INBOX | sed 's/^Delivered-To: //' | sort >/interop/got
        [ "$(wc -l </interop/got)" -lt "$(wc -l </interop/wanted)" ] || break
        sleep 0.1
    done
    attempts=$(grep -c '^Starting delivery: host' "$H/log")
    refused=$((attempts - COUNT))
    most=$(($5))
    figures="$COUNT messages, $attempts attempts, $connections connections (at most $most wanted) in $took s"
    if ! sort /interop/wanted | cmp -s - /interop/got; then
        row "$1" failed "$(wc -l </interop/got) of $(wc -l </interop/wanted) copies arrived; $figures"
    elif [ "$connections" -gt "$most" ]; then
        row "$1" failed "too many connections: $figures"
    else
        row "$1" passed "each once; $figures"
    fi
    [ "$(tail -1 /interop/results | cut -f3)" = passed ] || tail -40 "$H/log" >&2
    rm -rf "$H"
}

# connections= is 4, for each of two passes; Postfix hangs up after twenty errors, of which a refused message is two.
all_arrive 'greylisting' grey 52511 1 '2 * 4 + 2 * refused / 20'
all_arrive 'ten recipients at once, messages to twenty-five' few 52512 25 4
# The one, and another tried after each pause, which doubles from a second: five in half a minute.
all_arrive 'one connection at a time' one 52513 1 '1 + 5'
