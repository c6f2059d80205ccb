"""A throw-away installation, and the messages that lie in its spool."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
BINARY = os.environ.get("BINARY", str(HERE.parent.parent / "target/debug/nullmailer"))
FOLDERS = ["queue", "tmp", "failed", "status"]
PROGRAMS = ["nullmailer-queue", "nullmailer-send", "nullmailer-smtpd", "nullmailer-inject", "sendmail"]

# nullmailer needs /proc to give a file its first name late, and does without it where it is not there.
WITHOUT_PROC = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]


def need(*tools):
    """Ends with a word where a tool is missing."""
    for tool in tools:
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed")


class House:
    """Folders, links to the binary, and control files; the smarthost is at `ports`."""

    def __init__(self, root, ports, **control):
        self.root = pathlib.Path(root)
        self.spool = self.root / "queue"
        for folder in ["conf", "protocols", "sbin", "bin", "log", "queue"]:
            (self.root / folder).mkdir()
        for name in PROGRAMS:
            (self.root / "bin" / name).symlink_to(BINARY)
        self.control(**{
            "me": "crash.example",
            "remotes": "\n".join(f"127.0.0.1 smtp port={port}" for port in ports),
            "pausetime": "1",
            "maxpause": "2",
            "bouncelimit": "1000000000",
            **control,
        })

    def control(self, **files):
        for name, text in files.items():
            (self.root / "conf" / name).write_text(text.rstrip("\n") + "\n")

    @contextlib.contextmanager
    def changed(self, **control):
        """Has other control files for a while."""
        before = {name: (self.root / "conf" / name).read_text() for name in control}
        try:
            self.control(**control)
            yield
        finally:
            self.control(**before)

    def furnish(self):
        """Makes the folders of the spool."""
        for folder in FOLDERS:
            (self.spool / folder).mkdir(0o700)
        os.mkfifo(self.spool / "trigger", 0o622)

    def command(self, program, *arguments):
        return [str(self.root / "bin" / program), *arguments]

    @property
    def environment(self):
        return {"NULLMAILER_TEST_PREFIX": str(self.root), "PATH": os.environ["PATH"]}

    def start(self, log, before=()):
        """The daemon; it writes its log to the file `log`."""
        with open(self.root / "log" / log, "wb") as out:
            return subprocess.Popen([*before, *self.command("nullmailer-send")], env=self.environment,
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def names(self, folder):
        return sorted(os.listdir(self.spool / folder))

    def flush(self):
        """Asks for everything to be tried now, if there is somebody to ask."""
        try:
            trigger = os.open(self.spool / "trigger", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            os.write(trigger, b"1")
        except OSError:
            pass
        finally:
            os.close(trigger)

    def empty(self):
        """Removes everything from the spool."""
        for name in os.listdir(self.spool):
            path = self.spool / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Client:
    """A connection to the daemon's socket, at which it has a place."""

    def __init__(self, path, is_over=lambda: False):
        deadline = time.monotonic() + 30
        while True:
            self.stream = socket.socket(socket.AF_UNIX)
            try:
                self.stream.settimeout(30)
                self.stream.connect(str(path))
                if self.stream.recv(6) == b"ready\n":
                    return
            except OSError:
                pass
            self.stream.close()
            if is_over() or time.monotonic() > deadline:
                raise ConnectionError(f"nobody listens at {path}")
            time.sleep(0.01)

    def submit(self, handed):
        """Hands in what nullmailer-queue would read; returns the answer, none if the daemon is gone."""
        heard = b""
        try:
            self.stream.sendall(f"nullmailer-submit 1\n{len(handed)}\n".encode() + handed + b"0\n")
            while part := self.stream.recv(4096):
                heard += part
        except OSError:
            pass
        self.stream.close()
        return heard.decode()


class Message:
    """A file of `queue/` or `failed/`, as it was found."""

    def __init__(self, spool, folder, name):
        self.folder, self.name = folder, name
        text = (spool / folder / name).read_bytes().decode(errors="replace")
        envelope, self.blank, self.text = text.partition("\n\n")
        self.sender, *self.recipients = envelope.split("\n")
        try:
            journal = (spool / "status" / name).read_text(errors="replace")
        except FileNotFoundError:
            journal = ""
        # The last line about a recipient counts; the last line of all may be torn.
        lines = [line.split("\t") for line in journal.split("\n")[:-1]]
        self.states = {line[2]: line[1] for line in lines if len(line) == 5 and line[0] != "file"}

    def is_bounce(self):
        return self.sender == ""

    def is_whole(self, body):
        """Whether it is all there; `body` makes what stands below the header of a message's number."""
        if not (self.blank and self.recipients):
            return False
        if self.is_bounce():
            boundary = re.search('boundary="?([^"\n;]+)', self.text)
            return bool(boundary) and f"\n--{boundary[1]}--" in self.text
        number = self.number()
        return number is not None and self.text.endswith("\n\n" + body(number))

    def number(self):
        """Which of the test's own messages it is."""
        found = re.search("^Subject: number ([0-9]+)$", self.text, re.M)
        return int(found[1]) if found else None

    def reported(self):
        """The recipients that a bounce is about."""
        return re.findall(r"(?im)^Final-Recipient: *rfc822; *(\S+)", self.text) if self.is_bounce() else []
