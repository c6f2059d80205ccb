# OpenSMTPD. Run inside the overlay by enter.sh. It offers neither CHUNKING nor SMTPUTF8.
set -eu
SERVER=opensmtpd
. /interop/lib.sh

# The package of Debian 12 cannot answer a TLS handshake of anybody (OpenSMTPD issue 1171: it wants
# OpenSSL before 3), so that of Debian 11 is taken there.
if [ "$(. /etc/os-release && echo "$VERSION_CODENAME")" = bookworm ]; then
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ -f "$list" ] && sed -i 's/bookworm/bullseye/g; s/ non-free-firmware//' "$list"
    done
fi
install_packages opensmtpd
version OpenSMTPD opensmtpd

useradd --create-home interop
INBOX=/home/interop
mkdir -p /etc/keys && cp /interop/server.* /etc/keys && chmod 600 /etc/keys/*
printf 'us@us.example %s\n' "$(smtpctl encrypt 'hunter2 with a blank')" >/etc/smtpd-users
chmod 644 /etc/smtpd-users
cat >/etc/smtpd.conf <<'EOF'
pki mail.example cert "/etc/keys/server.pem"
pki mail.example key "/etc/keys/server.key"
ca interop cert "/interop/ca.pem"
table users file:/etc/smtpd-users
table grey { "grey@x.example" }
table known { "inbox" = "interop", "grey" = "interop" }
smtp max-message-size 1000000
filter grey phase rcpt-to match rcpt-to <grey> reject "450 4.2.0 greylisted"
listen on 127.0.0.1 port 52521 tls pki mail.example hostname mail.example filter grey
listen on 127.0.0.1 port 52522 smtps pki mail.example hostname mail.example
listen on 127.0.0.1 port 52523 tls-require pki mail.example auth <users> hostname mail.example
listen on 127.0.0.1 port 52524 tls-require verify pki mail.example ca interop hostname mail.example
action inbox maildir "/home/interop/box" virtual <known>
match from any for domain "x.example" action inbox
EOF
smtpd -n >/interop/opensmtpd.log 2>&1 || { cat /interop/opensmtpd.log >&2; exit 1; }
smtpd -d >/interop/opensmtpd.log 2>&1 &
for port in 52521 52522 52523 52524; do wait_for_port $port; done

LOGIN="user=us@us.example pass='hunter2 with a blank'"
at() { echo "127.0.0.1 smtp port=$1"; }

arrives 'plain' "$(at 52521)" 'ESMTP'
arrives 'STARTTLS' "$(at 52521) starttls $CA" 'ESMTPS'
arrives 'implicit TLS' "$(at 52522) tls $CA" 'ESMTPS'
stays 'STARTTLS, unknown authority' "$(at 52521) starttls" 'comes from nobody in'
for mechanism in plain login; do
    arrives "AUTH $mechanism" "$(at 52523) starttls $CA $LOGIN auth=$mechanism" 'ESMTPSA'
done
stays 'AUTH, wrong password' "$(at 52523) starttls $CA user=us@us.example pass=wrong" 'login: server said 535'
arrives 'client certificate' "$(at 52524) starttls $CA x509certfile=/interop/us-both.pem" 'ESMTPS'
# Its certificate is asked for in the handshake and missed behind it. What we then notice first, the end of the
# connection or a reset, is for the kernel to say.
stays 'client certificate wanted, none given' "$(at 52524) starttls $CA" \
    'EHLO: .*(server closed the connection|Connection reset by peer|Broken pipe)' inbox@x.example 'kept: the server hung up'
says 'a certificate was missed' /interop/opensmtpd.log 'reason=no-client-cert'
bounces 'SIZE, too large' "$(at 52521)" '5\.3\.4' inbox@x.example "$(big_body)"
bounces 'SMTPUTF8 not offered' "$(at 52521)" '5\.6\.7' 'jörg@x.example'
stays 'greylisting' "$(at 52521)" '450 4\.2\.0 greylisted' grey@x.example
bounces 'unknown recipient' "$(at 52521)" '524 5\.2\.4' gone@x.example
