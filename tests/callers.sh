#!/bin/sh
# Programs that hand mail to sendmail(8), the real ones, each against this build.
#
# usage: tests/callers.sh [BINARY]
#
# Each sends one message through links to BINARY (default: target/debug/nullmailer) into a throw-away
# spool, where envelope and message are looked at. On Debian and Ubuntu, as root or with sudo, what
# is missing is installed first. The last line is "N passed, N failed"; the exit code says whether
# any failed. `tests/it/callers.rs` has the command lines of many more.
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$here/target/debug/nullmailer}
[ -x "$binary" ] || { echo "callers.sh: no program at $binary" >&2; exit 2; }

# tool:package
missing=
for pair in php:php-cli git:git bsd-mailx:bsd-mailx s-nail:s-nail mutt:mutt perl:perl swaks:swaks \
    python3:python3 ruby:ruby; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
# file:package
for pair in /usr/lib/git-core/git-send-email:git-email \
    /usr/share/perl5/Email/Sender/Simple.pm:libemail-sender-perl \
    /usr/share/perl5/MIME/Lite.pm:libmime-lite-perl \
    /usr/share/php/Symfony/Component/Mailer/autoload.php:php-symfony-mailer \
    /usr/share/php/libphp-phpmailer/autoload.php:libphp-phpmailer \
    /usr/lib/ruby/vendor_ruby/mail.rb:ruby-mail; do
    [ -e "${pair%%:*}" ] || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    # Mail readers ask for a mailer. This package says that there is one, and has none.
    if ! dpkg-query -Wf '${Provides} ${Status}\n' 2>/dev/null | grep -q 'mail-transport-agent.* installed'; then
        package=$(mktemp -d)
        mkdir "$package/DEBIAN"
        printf '%s\n' 'Package: no-mta' 'Version: 1' 'Architecture: all' \
            'Maintainer: nobody <nobody@invalid>' 'Provides: mail-transport-agent' \
            'Description: placeholder for a mailer' >"$package/DEBIAN/control"
        dpkg-deb -b "$package" "$package.deb" >/dev/null && $root dpkg -i "$package.deb" >/dev/null
        rm -rf "$package" "$package.deb"
    fi
    $root apt-get update -q >/dev/null
    # shellcheck disable=SC2086 # a list of names
    $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends $missing >/dev/null || exit 2
fi

prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
mkdir "$prefix/conf" "$prefix/bin" "$prefix/sbin" "$prefix/queue" "$prefix/home"
echo h.example >"$prefix/conf/me"
for name in sendmail mailq newaliases nullmailer-inject nullmailer-queue nullmailer-smtpd; do
    ln -s "$(readlink -f "$binary")" "$prefix/bin/$name"
done
export NULLMAILER_TEST_PREFIX="$prefix" USER=me HOME="$prefix/home" NULLMAILER_USER=me
unset NULLMAILER_CONFIG_DIR NULLMAILER_SPOOL_DIR NULLMAILER_QUEUE HOSTNAME MAILHOST NAME MAILNAME
sendmail=$prefix/bin/sendmail
cd "$prefix" || exit 2

passed=0 failed=0

# expect NAME SENDER "RECIPIENT..." TEXT COMMAND... : the command must queue one message with that
# envelope and with TEXT in it. Stdin goes to the command.
expect() {
    name=$1 sender=$2 recipients=$3 text=$4
    shift 4
    rm -f "$prefix"/queue/queue/* 2>/dev/null
    flaw=
    "$@" >"$prefix/said" 2>&1 || flaw="exit code $?"
    set -- "$prefix"/queue/queue/*
    if [ -n "$flaw" ]; then :
    elif [ ! -e "$1" ] || [ $# != 1 ]; then flaw="$# messages queued"
    elif [ "$(head -n 1 "$1")" != "$sender" ]; then flaw="sender is $(head -n 1 "$1")"
    elif [ "$(sed -n '2,/^$/p' "$1" | sort | tr '\n' ' ' | sed 's/^ *//; s/ *$//')" != "$recipients" ]; then
        flaw="recipients are $(sed -n '2,/^$/p' "$1" | tr '\n' ' ')"
    elif ! grep -q -- "$text" "$1"; then flaw="no $text in the message"
    elif grep -q "$(printf '\r')" "$1"; then flaw="a carriage return was stored"
    elif grep -qi '^bcc:' "$1"; then flaw="Bcc was kept"
    elif [ -n "$(ls "$prefix/queue/tmp")" ]; then flaw="a file was left in tmp"
    fi
    if [ -z "$flaw" ]; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name: $flaw"
        sed 's/^/        /' "$prefix/said"
        [ ! -e "$1" ] || sed 's/^/        > /' "$1"
    fi
}

message='To: ann@example.org\nSubject: word\n\nbody\n.\nend\n'

# shellcheck disable=SC2059 # the format is the message
pipe() { printf "$message" | "$@"; }

expect "cron, its argv" me@h.example ann@example.org "From: CronDaemon <me@h.example>" \
    pipe "$sendmail" -FCronDaemon -i -B8BITMIME -oem ann@example.org
expect "cronie, its argv" root@h.example "ann@example.org" "^end$" \
    pipe "$sendmail" -FCronDaemon -i -odi -oem -oi -t -f root
expect "busybox crond, its argv" me@h.example ann@example.org "^end$" pipe "$sendmail" -ti
expect "logwatch and mdadm, their argv" me@h.example ann@example.org "^end$" pipe "$sendmail" -t
expect "fail2ban, its argv" ban@h.example root@h.example "^end$" pipe "$sendmail" -f ban@h.example root

cat >mail.php <<'PHP'
<?php
$ok = mail("ann@example.org, Bob <bob@example.org>", "word", "body\n.\nend\n",
    "From: shop@example.com\r\nCc: carl@example.org\r\nBcc: dora@example.org", $argv[1] ?? "");
exit($ok ? 0 : 1);
PHP
all="ann@example.org bob@example.org carl@example.org dora@example.org"
expect "PHP mail()" me@h.example "$all" "^From: shop@example.com$" \
    php -d sendmail_path="$sendmail -t -i" mail.php
expect "PHP mail() with -f" bounce@example.com "$all" "^end$" \
    php -d sendmail_path="$sendmail -t -i" mail.php -fbounce@example.com

cat >phpmailer.php <<'PHP'
<?php
require "/usr/share/php/libphp-phpmailer/autoload.php";
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSendmail();
$mail->Sendmail = $argv[1];
$mail->setFrom("shop@example.com", "Jörg, Shop");
$mail->addAddress("ann@example.org");
$mail->addBCC("dora@example.org");
$mail->CharSet = "UTF-8";
$mail->Subject = "word";
$mail->Body = "body\n.\nend ö\n";
$mail->send();
PHP
expect "PHPMailer" shop@example.com "ann@example.org dora@example.org" "^Subject: word$" \
    php phpmailer.php "$sendmail"

cat >symfony.php <<'PHP'
<?php
require "/usr/share/php/Symfony/Component/Mailer/autoload.php";
use Symfony\Component\Mailer\{Mailer, Transport};
use Symfony\Component\Mime\Email;
$transport = Transport::fromDsn("sendmail://default?command=" . urlencode($argv[1]));
$email = (new Email())->from("shop@example.com")->to("ann@example.org")->bcc("dora@example.org")
    ->subject("word")->text("body\n.\nend\n");
(new Mailer($transport))->send($email);
PHP
for mode in -bs -t; do
    expect "Symfony Mailer, $mode" shop@example.com "ann@example.org dora@example.org" \
        "^Subject: word$" php symfony.php "$sendmail $mode"
done

mkdir patch && (
    cd patch && git init -q . && git config user.email me@example.com && git config user.name Me &&
        git config commit.gpgsign false && echo x >file && git add file && git commit -qm word &&
        git format-patch -q --root -o ..
) >/dev/null 2>&1
send_email() {
    (cd patch && PATH=/usr/bin:/bin git -c sendemail.smtpServer="$sendmail" send-email --quiet \
        --confirm=never --from='Me <me@example.com>' --to=ann@example.org --cc=carl@example.org \
        --suppress-cc=all --envelope-sender=env@example.com ../0001-word.patch)
}
expect "git send-email" env@example.com "ann@example.org carl@example.org" "^Subject: \[PATCH\] word$" \
    send_email

echo "set sendmail=$sendmail" >mailrc
bsd_mailx() { printf 'body\n.\nend\n' | MAILRC="$prefix/mailrc" bsd-mailx "$@"; }
expect "bsd-mailx" me@h.example "ann@example.org root@h.example" "^Subject: word$" \
    bsd_mailx -s word ann@example.org root
expect "bsd-mailx with a sender" shop@example.com ann@example.org "^end$" \
    bsd_mailx -s word -r shop@example.com ann@example.org

s_nail() { printf 'body\n.\nend\n' | s-nail -:/ -Ssendwait "-Smta=$sendmail" "$@"; }
expect "s-nail" me@h.example ann@example.org "^Subject: word$" s_nail -s word ann@example.org
expect "s-nail with a sender and Bcc" shop@example.com "ann@example.org dora@example.org" "^end$" \
    s_nail -s word -r shop@example.com -b dora@example.org ann@example.org

printf '%s\n' "set sendmail='$sendmail -oem -oi'" 'set copy=no' 'set from=shop@example.com' \
    'set use_envelope_from=yes' 'set dsn_notify="failure,delay"' 'set dsn_return=hdrs' \
    'set sendmail_wait=0' >muttrc
mutt_send() { printf 'body\n.\nend\n' | mutt -n -F muttrc -s word -b dora@example.org -- ann@example.org; }
expect "mutt" shop@example.com "ann@example.org dora@example.org" "^Subject: word$" mutt_send

cat >mail.py <<'PY'
import email.message, email.policy, smtplib, socket, subprocess, sys

message = email.message.EmailMessage(policy=email.policy.SMTP)
message["From"], message["To"], message["Subject"] = "shop@example.com", "ann@example.org", "word"
message.set_content("body\n.\nend\n")
if sys.argv[1] == "pipe":
    subprocess.run([sys.argv[2], "-t", "-oi"], input=bytes(message), check=True)
else:
    ours, theirs = socket.socketpair()
    server = subprocess.Popen([sys.argv[2], "-bs"], stdin=theirs, stdout=theirs)
    theirs.close()

    class OverPipe(smtplib.SMTP):
        def _get_socket(self, *_):
            return ours

    with OverPipe("pipe", local_hostname="h") as smtp:
        smtp.send_message(message, to_addrs=["ann@example.org", "dora@example.org"])
    sys.exit(server.wait())
PY
expect "Python subprocess, CRLF" me@h.example ann@example.org "^Subject: word$" \
    python3 mail.py pipe "$sendmail"
expect "Python smtplib" shop@example.com "ann@example.org dora@example.org" "^end$" \
    python3 mail.py smtp "$sendmail"

cat >sender.pl <<'PERL'
use Email::Simple; use Email::Sender::Simple qw(sendmail); use Email::Sender::Transport::Sendmail;
my $email = Email::Simple->create(body => "body\n.\nend\n",
    header => [From => 'shop@example.com', To => 'ann@example.org', Subject => 'word']);
sendmail($email, { from => 'env@example.com', to => ['ann@example.org'],
    transport => Email::Sender::Transport::Sendmail->new({ sendmail => $ARGV[0] }) });
PERL
expect "Perl Email::Sender" env@example.com ann@example.org "^Subject: word$" perl sender.pl "$sendmail"
cat >lite.pl <<'PERL'
use MIME::Lite;
MIME::Lite->new(From => 'shop@example.com', To => 'ann@example.org', Bcc => 'dora@example.org',
    Subject => 'word', Data => "body\n.\nend\n")
    ->send_by_sendmail(Sendmail => $ARGV[0], BaseArgs => ['-t', '-oi', '-oem']) or die;
PERL
expect "Perl MIME::Lite" shop@example.com "ann@example.org dora@example.org" "^end$" perl lite.pl "$sendmail"
expect "swaks over a pipe" shop@example.com "ann@example.org" "^Subject: test" \
    swaks --pipe "$sendmail -bs" --from shop@example.com --to ann@example.org --suppress-data

cat >mail.rb <<'RUBY'
require "mail"
Mail.defaults { delivery_method :sendmail, location: ARGV[0] }
Mail.deliver do
  from "shop@example.com"
  to "ann@example.org"
  bcc "dora@example.org"
  subject "word"
  body "body\n.\nend\n"
end
RUBY
expect "Ruby mail" shop@example.com "ann@example.org dora@example.org" "^Subject: word$" \
    ruby mail.rb "$sendmail"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
