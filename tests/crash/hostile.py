"""A local user who means ill: what he does at the daemon's socket and with its trigger, without an end.

He may not stop or slow down anybody else's mail for good, nor have the daemon keep memory or descriptors for him.
"""

import contextlib
import os
import random
import select
import socket
import time

HELLO = b"nullmailer-submit 1\n"
LETTER = b"ill@crash.example\nmeant@x.example\n\nSubject: ill\n\nend of 0\n"
# More than a user has places.
CROWD = 30


class Hostile:
    """Goes on until `told`, a pipe, is closed at its other end."""

    def __init__(self, spool, told, seed):
        self.socket, self.trigger = str(spool / "submit"), str(spool / "trigger")
        self.told, self.random = told, random.Random(seed)
        self.held = []

    def run(self):
        ways = [self.hold, self.let_go, self.pass_descriptors, self.flood, self.half_close, self.vanish,
                self.talk_nonsense, self.knock, self.pull]
        while not self.is_over(self.random.uniform(0, 0.05)):
            # Whatever he hears, he comes again.
            with contextlib.suppress(OSError):
                self.random.choice(ways)()

    def is_over(self, wait):
        return bool(select.select([self.told], [], [], wait)[0])

    def connect(self):
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(2)
            stream.connect(self.socket)
        except OSError:
            stream.close()
            raise
        return stream

    def hold(self):
        """Takes all the places that he can have, and says nothing, or half of something."""
        while len(self.held) < CROWD:
            stream = self.connect()
            self.held.append(stream)
            stream.sendall(self.random.choice([b"", HELLO, HELLO + b"1000\nfrom@x\n"]))

    def let_go(self):
        for stream in self.held:
            stream.close()
        self.held = []

    def pass_descriptors(self):
        with self.connect() as stream, open(os.devnull, "rb") as null:
            for part in [HELLO, b"%d\n" % len(LETTER), LETTER]:
                socket.send_fds(stream, [part], [null.fileno()] * 100)
            if self.random.random() < 0.5:
                socket.send_fds(stream, [b"0\n"], [stream.fileno()])
                stream.recv(4096)

    def flood(self):
        """As much as the daemon takes in a second."""
        block = b"100000\n" + b"x" * 100_000
        end = time.monotonic() + 1
        with self.connect() as stream:
            stream.sendall(HELLO + b"%d\n" % len(LETTER) + LETTER)
            while time.monotonic() < end:
                stream.sendall(block)

    def half_close(self):
        """Says that nothing follows, before the end; and waits for an answer."""
        said = HELLO + b"%d\n" % len(LETTER) + LETTER
        with self.connect() as stream:
            stream.sendall(said[: self.random.randrange(len(said))])
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(4096):
                pass

    def vanish(self):
        """Hands in a whole letter, and does not wait for the answer."""
        with self.connect() as stream:
            stream.sendall(HELLO + b"%d\n" % len(LETTER) + LETTER + b"0\n")

    def talk_nonsense(self):
        with self.connect() as stream:
            stream.sendall(self.random.choice([b"\0" * 5000, b"EHLO x\r\n", HELLO + b"-1\n", HELLO + b"4294967295\nx"]))
            stream.recv(4096)

    def knock(self):
        for _ in range(50):
            self.connect().close()

    def pull(self):
        trigger = os.open(self.trigger, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(trigger, self.random.choice([b"1", b"\0", b"x" * 70_000]))
        finally:
            os.close(trigger)


def beside(spool, uid, seed):
    """Starts him as a process of his own; closing the descriptor ends him. To be called before there are threads."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tell)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        try:
            Hostile(spool, told, seed).run()
        finally:
            os._exit(0)
    os.close(told)
    return child, tell
