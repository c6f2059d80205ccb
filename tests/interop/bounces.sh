# The bounces of Postfix, Exim and ours to the same refusals, side by side for docs/bounces.md.
# Run inside the overlay by enter.sh; not a part of the usual run.
set -eu
SERVER=bounces
. /interop/lib.sh

mkdir -p /interop/bounces /tmp/arrived
python3 /interop/bounces.py serve 52525 /tmp/arrived 2>/interop/server.log &
wait_for_port 52525
CASES='gone data large later'
letter() { # CASE
    printf 'From: sender@us.example\nTo: %s@x.example\nSubject: a letter\nMessage-Id: <letter@us.example>\n\ntext\n' "$1"
    [ "$1" != large ] || yes 'a line of a long message' | head -c 150000
}

# Waits for the bounce to each letter, and keeps it under the name of its case.
collect() { # PEER
    mkdir "/interop/bounces/$1"
    for case in $CASES; do
        for _ in $(seq 200); do
            found=$(grep -l "$case@x.example" /tmp/arrived/* 2>/dev/null | head -1)
            [ -z "$found" ] || break
            sleep 0.1
        done
        if [ -n "$found" ]; then
            mv "$found" "/interop/bounces/$1/$case"
            row "$1, $case" passed 'there is a bounce'
        else
            row "$1, $case" failed 'no bounce came'
        fi
    done
    rm -f /tmp/arrived/*
}

house
echo '127.0.0.1 smtp port=52525' >"$H/conf/remotes"
echo 1 >"$H/conf/pausetime"
echo 1 >"$H/conf/queuelifetime"
/interop/nullmailer send >/interop/ours.log 2>&1 &
for case in $CASES; do
    { printf 'sender@us.example\n%s@x.example\n\n' "$case"; letter $case; } | /interop/nullmailer queue
done
collect ours

install_packages postfix
cat >/etc/postfix/main.cf <<'EOF'
compatibility_level = 3.6
myhostname = us.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:52525
maximal_queue_lifetime = 2s
bounce_queue_lifetime = 60s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
maillog_file = /var/log/mail.log
EOF
sed -i -E '/^smtp +inet/d; s/^([a-z]+ +(unix|inet|fifo) +[^ ]+ +[^ ]+) +y /\1 n /' /etc/postfix/master.cf
postfix start >/dev/null 2>&1
for case in $CASES; do letter $case | sendmail -f sender@us.example "$case@x.example"; done
collect postfix
postfix stop >/dev/null 2>&1

install_packages exim4-daemon-light
cat >/etc/exim4/exim4.conf <<'EOF'
primary_hostname = us.example
untrusted_set_sender = *
delay_warning =
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = 52525
begin retry
* * F,1s,1s
EOF
for case in $CASES; do letter $case | /usr/sbin/exim4 -oi -f sender@us.example "$case@x.example"; done
for _ in 1 2 3 4; do sleep 1; /usr/sbin/exim4 -qff; done
collect exim

python3 /interop/bounces.py page /interop/bounces >/interop/bounces.md
