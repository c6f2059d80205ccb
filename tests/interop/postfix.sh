# Postfix, with Dovecot for its logins. Run inside the overlay by enter.sh.
set -eu
SERVER=postfix
. /interop/lib.sh

install_postfix Postfix dovecot-core <<'EOF'
message_size_limit = 1000000
smtputf8_enable = yes
smtpd_recipient_restrictions = check_recipient_access inline:{{grey@x.example=450 4.2.0 greylisted} {gone@x.example=550 5.1.1 gone}}, permit_mynetworks, reject
smtpd_tls_cert_file = /interop/server.pem
smtpd_tls_key_file = /interop/server.key
smtpd_tls_CAfile = /interop/ca.pem
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:12345
qmqpd_authorized_clients = 127.0.0.0/8
EOF
cat >>/etc/postfix/master.cf <<'EOF'
127.0.0.1:52501 inet n - n - - smtpd -o smtpd_tls_security_level=may
127.0.0.1:52502 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:52503 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o { smtpd_recipient_restrictions = permit_sasl_authenticated, reject }
127.0.0.1:52504 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes
127.0.0.1:52505 inet n - n - - smtpd -o { smtpd_discard_ehlo_keywords = chunking, silent-discard } -o syslog_name=postfix/nochunking
127.0.0.1:52506 inet n - n - - smtpd -o { smtpd_discard_ehlo_keywords = chunking, pipelining, size, 8bitmime, smtputf8, dsn, etrn, vrfy, silent-discard }
127.0.0.1:52507 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_tls_cert_file=none -o smtpd_tls_key_file= -o smtpd_tls_CAfile= -o smtpd_tls_mandatory_ciphers=medium -o tls_preempt_cipherlist=yes
127.0.0.1:52508 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o { smtpd_tls_mandatory_protocols = >=TLSv1.2, <=TLSv1.2 }
127.0.0.1:52628 inet n - n - - qmqpd
EOF
cat >/etc/dovecot/dovecot.conf <<'EOF'
protocols =
log_path = /var/log/dovecot.log
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
auth_mechanisms = plain login cram-md5 scram-sha-256 oauthbearer xoauth2
passdb {
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-256
  args = /etc/dovecot/users
}
passdb {
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = /etc/dovecot/oauth2.conf
}
userdb {
  driver = static
  args = uid=8 gid=8 home=/var/mail
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = 12345
  }
}
EOF
cat >/etc/dovecot/oauth2.conf <<'EOF'
introspection_mode = local
local_validation_key_dict = fs:posix:prefix=/etc/dovecot/keys/
username_attribute = sub
EOF
mkdir -p /etc/dovecot/keys/default/HS256
printf 'a key for tokens' | base64 >/etc/dovecot/keys/default/HS256/default
echo 'us@us.example:{PLAIN}hunter2 with a blank' >/etc/dovecot/users
dovecot
postfix start >/dev/null 2>&1
for port in 12345 52501 52502 52503 52504 52505 52506 52507 52508 52628; do wait_for_port $port; done

LOGIN="user=us@us.example pass='hunter2 with a blank'"
# A token as long as those of the big providers.
url64() { base64 -w0 | tr '+/' '-_' | tr -d =; }
claims=$(printf '{"sub":"us@us.example","exp":%s,"iat":%s,"filler":"%s"}' $(($(date +%s) + 3600)) $(($(date +%s) - 60)) \
    "$(head -c 1200 /dev/zero | tr '\0' x)" | url64)
signed=$(printf '{"alg":"HS256","typ":"JWT"}' | url64).$claims
TOKEN_FILE=/interop/token
printf '%s.%s\n' "$signed" "$(printf %s "$signed" | openssl dgst -sha256 -hmac 'a key for tokens' -binary | url64)" >$TOKEN_FILE

at() { echo "127.0.0.1 smtp port=$1"; }

arrives 'plain' "$(at 52501)" 'ESMTP'
arrives 'STARTTLS' "$(at 52501) starttls $CA" 'ESMTPS'
arrives 'STARTTLS, TLS 1.2 only' "$(at 52508) starttls $CA" 'ESMTPS'
arrives 'STARTTLS, tls-min=1.3' "$(at 52501) starttls tls-min=1.3 $CA" 'ESMTPS'
arrives 'implicit TLS' "$(at 52502) tls $CA" 'ESMTPS'
arrives 'implicit TLS, insecure' "$(at 52502) tls insecure" 'ESMTPS'
stays 'STARTTLS, unknown authority' "$(at 52501) starttls" 'comes from nobody in'
stays 'STARTTLS, wrong name' "$(at 52501) starttls $CA tls-name=other.example" 'not for other.example'
stays 'STARTTLS, not offered' "$(at 52505) starttls $CA" 'does not offer STARTTLS'
stays 'TLS, tls-min=1.3 and a server without' "$(at 52508) starttls tls-min=1.3 $CA" 'neither TLS 1.2 nor|in common'
for mechanism in plain login cram-md5 scram-sha-256; do
    arrives "AUTH $mechanism" "$(at 52503) starttls $CA $LOGIN auth=$mechanism" 'ESMTPSA'
done
arrives 'AUTH, its own choice' "$(at 52503) starttls $CA $LOGIN" 'ESMTPSA'
stays 'AUTH, wrong password' "$(at 52503) starttls $CA user=us@us.example pass=wrong" 'login: server said 535'
stays 'AUTH scram-sha-256, wrong password' "$(at 52503) starttls $CA user=us@us.example pass=wrong auth=scram-sha-256" 'login: server said 535'
for mechanism in xoauth2 oauthbearer; do
    arrives "AUTH $mechanism" "$(at 52503) starttls $CA user=us@us.example passfile=$TOKEN_FILE auth=$mechanism" 'ESMTPSA'
    stays "AUTH $mechanism, refused token" "$(at 52503) starttls $CA user=us@us.example pass=wrong auth=$mechanism" 'login: server said 535'
done
arrives 'client certificate' "$(at 52504) starttls $CA x509certfile=/interop/us-both.pem" 'ESMTPS'
stays 'client certificate wanted, none given' "$(at 52504) starttls $CA" '[Cc]ertificate|TLS'
bounces 'SIZE, too large' "$(at 52501)" '5\.3\.4' inbox@x.example "$(big_body)"
BEFORE=1
arrives 'PIPELINING and CHUNKING' "$(at 52501)" 'ESMTP'
BEFORE=
says 'CHUNKING was used' /var/log/mail.log 'bdat=[0-9]+ '
arrives 'PIPELINING without CHUNKING' "$(at 52505)" 'ESMTP'
says 'DATA was used' /var/log/mail.log 'nochunking/smtpd.* data=[0-9]+ '
arrives 'no extension at all' "$(at 52506)" 'ESMTP'
arrives 'SMTPUTF8' "$(at 52501)" 'UTF8SMTP' 'jörg@x.example'
bounces 'SMTPUTF8 not offered' "$(at 52506)" '5\.6\.7' 'jörg@x.example'
stays 'greylisting' "$(at 52501)" '450 4\.2\.0.*greylisted' grey@x.example
bounces 'unknown recipient' "$(at 52501)" '550 5\.1\.1' gone@x.example
arrives 'QMQP' '127.0.0.1 qmqp port=52628' 'QMQP'
stays 'anonymous TLS, a build without it' "$(at 52507) starttls insecure tls-anon-auth" 'this build has no anonymous TLS'
if [ -x /interop/nullmailer-anonymous ]; then
    cp /interop/nullmailer-anonymous /interop/nullmailer
    arrives 'anonymous TLS' "$(at 52507) starttls insecure tls-anon-auth" 'ESMTPS'
    says 'an anonymous cipher was used' /var/log/mail.log 'Anonymous TLS connection established from .*: TLSv1.2 with cipher A(EC)?DH-'
    stays 'anonymous TLS, a server without it' "$(at 52504) starttls insecure tls-anon-auth" 'the server has no anonymous TLS'
fi
