# Exim. Run inside the overlay by enter.sh.
set -eu
SERVER=exim
. /interop/lib.sh

install_packages exim4-daemon-heavy
version Exim exim4-daemon-heavy

INBOX=/var/mail/inbox
mkdir -p $INBOX && chown mail:mail $INBOX
cat >/etc/exim4/exim4.conf <<'EOF'
primary_hostname = mail.example
local_interfaces = <; [127.0.0.1]:52511 ; [127.0.0.1]:52512 ; [127.0.0.1]:52513 ; [127.0.0.1]:52514 ; [127.0.0.1]:52515
tls_on_connect_ports = 52512
tls_advertise_hosts = *
tls_certificate = /interop/server.pem
tls_privatekey = /interop/server.key
tls_verify_certificates = /interop/ca.pem
tls_verify_hosts = ${if eq{$received_port}{52514}{*}{:}}
auth_advertise_hosts = ${if eq{$received_port}{52513}{*}{:}}
pipelining_advertise_hosts = ${if eq{$received_port}{52515}{:}{*}}
chunking_advertise_hosts = ${if eq{$received_port}{52515}{:}{*}}
smtputf8_advertise_hosts = ${if eq{$received_port}{52515}{:}{*}}
message_size_limit = 1000000
log_selector = +received_recipients +tls_cipher +pipelining
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  defer message = greylisted
        condition = ${if eq{$local_part}{grey}}
  deny  message = gone
        condition = ${if eq{$local_part}{gone}}
  accept authenticated = *
  deny  message = log in first
        condition = ${if eq{$received_port}{52513}}
  accept
begin routers
inbox:
  driver = accept
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = /var/mail/inbox/box
  maildir_format
  user = mail
  group = mail
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{us@us.example}}{eq{$auth3}{hunter2 with a blank}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| User: | Geheimwort:
  server_condition = ${if and{{eq{$auth1}{us@us.example}}{eq{$auth2}{hunter2 with a blank}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{us@us.example}{hunter2 with a blank}fail}
  server_set_id = $auth1
EOF
chown root:root /etc/exim4/exim4.conf
mkdir -p /run/exim4 /var/log/exim4 && chown Debian-exim:adm /run/exim4 /var/log/exim4
exim4 -bdf -q30m >/interop/exim.log 2>&1 &
for port in 52511 52512 52513 52514 52515; do wait_for_port $port; done

LOGIN="user=us@us.example pass='hunter2 with a blank'"
at() { echo "127.0.0.1 smtp port=$1"; }
LOG_FILE=/var/log/exim4/mainlog

arrives 'plain' "$(at 52511)" 'esmtp'
arrives 'STARTTLS' "$(at 52511) starttls $CA" 'esmtps'
arrives 'STARTTLS, tls-min=1.3' "$(at 52511) starttls tls-min=1.3 $CA" 'esmtps'
arrives 'implicit TLS' "$(at 52512) tls $CA" 'esmtps'
stays 'STARTTLS, unknown authority' "$(at 52511) starttls" 'comes from nobody in'
for mechanism in plain login cram-md5; do
    arrives "AUTH $mechanism" "$(at 52513) starttls $CA $LOGIN auth=$mechanism" 'esmtpsa'
done
arrives 'AUTH without TLS, to loopback' "$(at 52513) $LOGIN" 'esmtpa'
stays 'AUTH, wrong password' "$(at 52513) starttls $CA user=us@us.example pass=wrong" 'login: server said 535'
arrives 'client certificate' "$(at 52514) starttls $CA x509certfile=/interop/us.pem x509keyfile=/interop/us.key" 'esmtps'
stays 'client certificate wanted, none given' "$(at 52514) starttls $CA" '[Cc]ertificate|TLS'
bounces 'SIZE, too large' "$(at 52511)" '5\.3\.4' inbox@x.example "$(big_body)"
BEFORE=1
arrives 'PIPELINING and CHUNKING' "$(at 52511)" 'esmtp'
BEFORE=
says 'PIPELINING and CHUNKING were used' $LOG_FILE ' L.* K '
arrives 'neither PIPELINING nor CHUNKING' "$(at 52515)" 'esmtp'
arrives 'SMTPUTF8' "$(at 52511)" 'utf8esmtp' 'jörg@x.example'
bounces 'SMTPUTF8 not offered' "$(at 52515)" '5\.6\.7' 'jörg@x.example'
stays 'greylisting' "$(at 52511)" '451 .*greylisted' grey@x.example
bounces 'unknown recipient' "$(at 52511)" '550 .*gone' gone@x.example
