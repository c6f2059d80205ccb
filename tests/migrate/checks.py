"""usage: checks.py ROOT ORIGINAL, in a network namespace of its own (enter.sh)

ROOT is a Debian with nullmailer 2.2 of version ORIGINAL, its package in apt's cache, and our package as /ours.deb. Goes over to
ours and back, and counts what arrives at a sink on loopback: each message once for each recipient.
"""

import collections
import hashlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT, ORIGINAL = pathlib.Path(sys.argv[1]), sys.argv[2]
PORT = 52525
SPOOL, CONFIG = ROOT / "var/spool/nullmailer", ROOT / "etc/nullmailer"
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
APT = ["apt-get", "-qy", "-o", "Dpkg::Use-Pty=0"]

# ------------------------------------------------------------------------------------------- smarthost


class Sink:
    """Takes mail while it is up. `gone` is refused, `later` is put off while `putting_off`."""

    def __init__(self):
        self.taken = []
        self.putting_off = False
        self.server = None
        self.clients = []

    def up(self):
        self.server = socket.create_server(("127.0.0.1", PORT), backlog=64)
        threading.Thread(target=self.accept, args=(self.server,), daemon=True).start()

    def down(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        # The sessions that are kept open, too.
        for client in self.clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.clients.clear()

    def accept(self, server):
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        with client, client.makefile("rb") as lines:
            say = lambda text: client.sendall(text.encode() + b"\r\n")
            say("220 sink.example")
            for line in lines:
                word, address = line[:4].upper(), re.search(rb"<(.*?)>", line)
                if word == b"MAIL":
                    sender, recipients = address[1].decode(), []
                    say("250 ok")
                elif word == b"RCPT" and address[1].startswith(b"gone"):
                    say("550 5.1.1 no such mailbox")
                elif word == b"RCPT" and address[1].startswith(b"later") and self.putting_off:
                    say("450 4.2.0 later")
                elif word == b"RCPT":
                    recipients.append(address[1].decode())
                    say("250 ok")
                elif word == b"DATA":
                    if not recipients:
                        say("554 no recipients")
                        continue
                    say("354 go on")
                    text = b""
                    while (part := lines.readline()) != b".\r\n":
                        if not part:
                            return
                        text += part[1:] if part.startswith(b".") else part
                    self.taken.append((sender, recipients, text))
                    say("250 taken")
                elif word == b"QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 ok")

    def copies(self):
        """How many times each recipient got each message, by the message's subject."""
        count = collections.Counter()
        for _, recipients, text in list(self.taken):
            subject = re.search(rb"(?im)^Subject: *(.*?)\r?$", text)
            for recipient in recipients:
                count[subject[1].decode() if subject else "", recipient] += 1
        return count

    def message(self, subject):
        return next(taken for taken in self.taken if re.search(rb"(?im)^Subject: *" + subject.encode() + rb"\r?$", taken[2]))


sink = Sink()


class Log:
    """What the daemons say to syslog, for the reader of a failure."""

    def __init__(self):
        self.lines = collections.deque(maxlen=20)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(ROOT / "dev/log"))
        os.chmod(ROOT / "dev/log", 0o666)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            self.lines.append(self.socket.recv(65536).decode(errors="replace"))


log = Log()

# ------------------------------------------------------------------------------------------- the root


def inside(*command, user=None, stdin=b""):
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    # Not a pipe: a daemon that the command starts would keep it open.
    with tempfile.TemporaryFile() as output:
        ran = subprocess.run(
            ["chroot", ROOT, "env", "-i", PATH, "HOME=/", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", *become, *command],
            input=stdin, stdout=output, stderr=subprocess.STDOUT, timeout=120,
        )
        output.seek(0)
        text = output.read().decode(errors="replace")
    if ran.returncode:
        raise Failed(f"{' '.join(command)} ended with {ran.returncode}: {text[-600:]}")
    return text


def version():
    return inside("dpkg-query", "-Wf", "${Version} ${db:Status-Status}", "nullmailer")


def daemons():
    """The programs that run as nullmailer-send, by their files, and their users."""
    found = []
    for process in (ROOT / "proc").iterdir():
        try:
            argv = (process / "cmdline").read_bytes().split(b"\0")
            if process.name.isdigit() and argv[0].endswith(b"nullmailer-send"):
                program = os.readlink(process / "exe").removeprefix(str(ROOT))
                found.append((program, process.stat().st_uid))
        except OSError:
            pass
    # The original's daemon is two for a moment when it runs a protocol program.
    return sorted(set(found))


def snapshot(*folders):
    """Name, mode, owner and content of the files below."""
    lines = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            lines[str(path.relative_to(ROOT))] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return lines


def queued():
    return [path.name for path in (SPOOL / "queue").iterdir()] if (SPOOL / "queue").is_dir() else []


def wait(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited in vain: {what}")
        time.sleep(0.05)


def submit(subject, recipients, user=None, body="text\n"):
    text = f"To: {', '.join(recipients)}\nSubject: {subject}\n\n{body}"
    inside("sendmail", "-t", "-i", user=user, stdin=text.encode())
    return {(subject, recipient): 1 for recipient in recipients}


# ------------------------------------------------------------------------------------------- checks

passed = failed = 0


class Failed(Exception):
    pass


def check(sentence):
    """Runs the function at once; it raises or returns what is wrong."""

    def run(function):
        global passed, failed
        try:
            wrong = function()
        except Failed as error:
            wrong = error
        if wrong:
            failed += 1
            print(f"FAILED  {sentence}: {wrong}", *log.lines, sep="\n        ", flush=True)
            log.lines.clear()
        else:
            passed += 1
            print(f"ok      {sentence}", flush=True)

    return run


def differences(before, after):
    names = sorted(before.keys() | after.keys(), key=str)
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def arrive(expected, before):
    """Each of `expected` has come since `before`, once, and nothing else has."""

    def new():
        return sink.copies() - before

    wait(f"{len(expected)} copies, of which {len(new())} came", lambda: not expected.keys() - new().keys())
    wait(f"an empty queue, not {queued()}", lambda: not queued())
    return differences(expected, new())


CAROL = 1000
inside("useradd", "-m", "-u", str(CAROL), "carol")
(CONFIG / "pausetime").write_text("1\n")
MAIL = inside("id", "-u", "mail").strip()

# What 2.2 leaves behind: one message that was refused, and twenty that wait.
sink.up()
inside("invoke-rc.d", "nullmailer", "start")
wait("the original's daemon", daemons)
submit("refused", ["gone@x.example"])
wait("a bounce", lambda: any(recipient == "root@us.example" for _, recipient in sink.copies()) and not queued())
sink.down()
expected = {}
for n in range(6):
    expected |= submit(f"root{n}", [f"ann{n}@x.example"])
    expected |= submit(f"user{n}", [f"{who}{n}@x.example" for who in ("ann", "bob", "carl")], user="carol")
for n in range(4):
    text = f"\nann@x.example\n\nSubject: null{n}\n\nno sender\n"
    inside("nullmailer-queue", stdin=text.encode())
    expected[f"null{n}", "ann@x.example"] = 1
expected |= submit("eight", ["ann@x.example"], body="Grüße, \N{SNOWMAN}\n")
expected |= submit("dots", ["ann@x.example"], user="carol", body=".\n..\n.end\n")
expected |= submit("large", ["ann@x.example", "bob@x.example"], body="0123456789abcdef" * 4 + "\n" * 4000)
expected |= submit("admin", ["ann@x.example"], body="From here\n>From there\n")
control, queue = snapshot(CONFIG), snapshot(SPOOL / "queue", SPOOL / "failed")


@check("2.2 has twenty messages waiting and one that failed")
def _():
    if (len(queued()), len(list((SPOOL / "failed").iterdir()))) != (20, 1) or [user for _, user in daemons()] != [int(MAIL)]:
        return f"{len(queued())} in queue/, {os.listdir(SPOOL / 'failed')} in failed/, {daemons()}"


@check("our package installs over it and asks nothing")
def _():
    output = inside("dpkg", "-i", "/ours.deb")
    if "(Y/I/N/O/D/Z)" in output or not re.fullmatch(r"1:3\..* installed", version()):
        return f"{version()}: {output}"
    return inside("dpkg", "--audit") or None


@check("control files, queue and failed/ are the same bytes, modes and owners")
def _():
    return differences(control, snapshot(CONFIG)) + differences(queue, snapshot(SPOOL / "queue", SPOOL / "failed"))


@check("one daemon runs, ours, as the same user")
def _():
    wait("our daemon", daemons)
    if daemons() != [("/usr/bin/nullmailer", int(MAIL))]:
        return daemons()


@check("the twenty messages arrive, each once for each recipient")
def _():
    before = sink.copies()
    sink.up()
    inside("nullmailer", "flush")
    return arrive(expected, before)


@check("their text and their senders are what was handed in")
def _():
    if "Grüße, \N{SNOWMAN}".encode() not in sink.message("eight")[2] or b"\r\n.\r\n..\r\n.end\r\n" not in sink.message("dots")[2]:
        return "a body has changed"
    senders = [sink.message(subject)[0] for subject in ("root0", "user0", "null0")]
    if senders != ["root@us.example", "carol@us.example", ""]:
        return senders


@check("mail(1) of an ordinary user arrives")
def _():
    before = sink.copies()
    inside("mail", "-s", "mailx", "ann@x.example", user="carol", stdin=b"text\n")
    wrong = arrive({("mailx", "ann@x.example"): 1}, before)
    return wrong or (None if sink.message("mailx")[0] == "carol@us.example" else sink.message("mailx")[0])


@check("what a job of cron prints arrives")
def _():
    before = sink.copies()
    inside("crontab", "-", user="carol", stdin=b"MAILTO=ann@x.example\n@reboot echo printed by a job\n")
    # By itself, cron goes into the background; the namespace ends it.
    inside("cron")
    wait("the job's mail", lambda: any("printed by a job" in subject for subject, _ in sink.copies()))
    _, recipients, text = sink.message("Cron .*printed by a job")
    wait("an empty queue", lambda: not queued())
    if sum((sink.copies() - before).values()) != 1 or recipients != ["ann@x.example"] or b"printed by a job\r\n" not in text:
        return recipients, text


@check("PHP's mail() arrives")
def _():
    before = sink.copies()
    inside("php", "-r", 'exit(mail("ann@x.example", "php", "text\\n", "From: shop@x.example") ? 0 : 1);', user="carol")
    return arrive({("php", "ann@x.example"): 1}, before)


@check("while the daemon is stopped, an ordinary user's mail waits in a file of mail's, and mailq shows it")
def _():
    inside("invoke-rc.d", "nullmailer", "stop")
    wait("the daemon's end", lambda: not daemons())
    submit("stopped", ["ann@x.example"], user="carol")
    (name,) = queued()
    status = (SPOOL / "queue" / name).stat()
    if status.st_uid != int(MAIL) or status.st_mode & 0o007:
        return status
    listing = inside("mailq", user="carol")
    if "carol@us.example" not in listing:
        return listing
    before = sink.copies()
    inside("invoke-rc.d", "nullmailer", "start")
    return arrive({("stopped", "ann@x.example"): 1}, before)


# The way back, with mail waiting again, one message of it served in part.
sink.putting_off = True
before_part = sink.copies()
submit("part", ["ann@x.example", "later@x.example"])
wait("a message served in part", lambda: ("part", "ann@x.example") in sink.copies())
wait("its journal", lambda: any("\tsent\tann@x.example" in path.read_text() for path in (SPOOL / "status").iterdir()))
sink.down()
sink.putting_off = False
# docs/compatibility.md: the original knows no journal, and serves all recipients of that message again.
expected = {("part", "later@x.example"): 1, ("part", "ann@x.example"): 1}
for n in range(5):
    expected |= submit(f"back{n}", [f"ann{n}@x.example", f"bob{n}@x.example"], user="carol" if n % 2 else None)
queue = snapshot(SPOOL / "queue", SPOOL / "failed")


@check("apt goes back to 2.2")
def _():
    inside(*APT, "install", "--allow-downgrades", f"nullmailer={ORIGINAL}")
    if version() != f"{ORIGINAL} installed":
        return version()
    return inside("dpkg", "--audit") or None


@check("control files, queue and failed/ are the same again")
def _():
    return differences(control, snapshot(CONFIG)) + differences(queue, snapshot(SPOOL / "queue", SPOOL / "failed"))


@check("the original delivers what ours had queued, each once; what was served in part goes to all again")
def _():
    before = sink.copies()
    sink.up()
    wait("the original's daemon", daemons)
    if [program for program, _ in daemons()] != ["/usr/sbin/nullmailer-send"]:
        return daemons()
    inside("sh", "-c", "echo 1 >/var/spool/nullmailer/trigger")
    return arrive(expected, before)


@check("a purge of ours leaves control files and waiting mail, and says so")
def _():
    inside("dpkg", "-i", "/ours.deb")
    sink.down()
    wait("our daemon", daemons)
    submit("kept", ["ann@x.example"])
    output = inside(*APT, "purge", "nullmailer")
    if daemons() or len(queued()) != 1 or "mail is left in /var/spool/nullmailer" not in output:
        return f"{daemons()} {queued()} {output}"
    return differences(control, snapshot(CONFIG))


@check("a fresh installation takes that mail up, and a purge with nothing waiting leaves no spool")
def _():
    before = sink.copies()
    inside(*APT, "install", "--no-install-recommends", "/ours.deb")
    sink.up()
    # No init script came with us: on a machine without systemd the daemon is the administrator's to start.
    inside("sh", "-c", "setpriv --reuid=mail --regid=mail --clear-groups nullmailer-send >/dev/null 2>&1 </dev/null &")
    wrong = arrive({("kept", "ann@x.example"): 1}, before)
    subprocess.run(["chroot", ROOT, "sh", "-c", "rm -f /var/spool/nullmailer/failed/*"], check=True)
    for process in (ROOT / "proc").iterdir():
        if process.name.isdigit() and b"nullmailer-send" in (process / "cmdline").read_bytes():
            os.kill(int(process.name), 15)
    wait("the daemon's end", lambda: not daemons())
    inside(*APT, "purge", "nullmailer")
    left = [path for path in (SPOOL, ROOT / "usr/sbin/sendmail", ROOT / "usr/lib/nullmailer") if path.exists()]
    return wrong or left or differences(control, snapshot(CONFIG))


print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
