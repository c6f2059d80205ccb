"""Two SMTP servers that remember what they took, and what the client did after it was told so.

A recipient's name says how it is answered: `ok` taken, `gN` 450 for the first N times, `no` 550;
a message whose recipients' names begin with `d` gets 451 at its end the first time.
"""

import collections
import random
import re
import socket
import threading
import time

# What each of the two offers.
EXTENSIONS = ["PIPELINING", "PIPELINING CHUNKING"]


class Copy:
    """One recipient of one message that was taken."""

    def __init__(self, life, taken):
        self.life = life
        # The sink's `clock` before the reply; and when another recipient of the message was asked for after it.
        self.taken, self.settled = taken, None
        # When the reply was handed to the kernel; None if the client had gone by then.
        self.replied = None
        # The client went on after the reply: it must have read it.
        self.followed = False


class Sink:
    def __init__(self, seed, talk=None):
        # What speaks to a client.
        self.talk = talk or Talk
        self.lock = threading.Lock()
        self.random = random.Random(seed)
        self.copies = collections.defaultdict(list)
        # For each recipient that a bounce was about, when that bounce was taken.
        self.bounced = collections.defaultdict(list)
        # And whom it was sent to.
        self.reported = collections.defaultdict(set)
        self.asked = collections.Counter()
        self.postponed = set()
        self.by_message = collections.defaultdict(list)
        self.life = 0
        self.events = 0
        self.clock = time.monotonic
        # Called with the number of the event, at the points where a kill is of interest.
        self.on_event = lambda number, phase: None
        self.ports = [self.listen(extensions) for extensions in EXTENSIONS]

    def listen(self, extensions):
        server = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self.accept, args=(server, extensions), daemon=True).start()
        return server.getsockname()[1]

    def accept(self, server, extensions):
        while True:
            client, _ = server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            talk = self.talk(self, client, extensions, self.life)
            threading.Thread(target=talk.run, daemon=True).start()

    def event(self, phase):
        with self.lock:
            self.events += 1
            number = self.events
        self.on_event(number, phase)


class Talk:
    def __init__(self, sink, client, extensions, life):
        self.sink, self.client, self.extensions, self.life = sink, client, extensions, life
        self.reader = client.makefile("rb")
        self.told = []
        # An answer to a chunk counts once the RSET behind it is answered too.
        self.awaits_reset = False
        # Some servers take few recipients at once.
        self.limit = 2 if sink.random.random() < 0.3 else 100

    def run(self):
        try:
            self.say("220 sink ESMTP")
            self.converse()
        except OSError:
            pass
        finally:
            self.reader.close()
            self.client.close()

    def say(self, text):
        self.client.sendall(text.encode() + b"\r\n")

    def converse(self):
        sender, taken = None, []
        while line := self.reader.readline():
            line = line.decode().rstrip("\r\n")
            verb = line.split(" ", 1)[0].upper()
            # RSET comes with a chunk. Our client sends no other command before it has the reply to a message.
            if verb != "RSET":
                for copy in self.told:
                    copy.followed = True
                self.told = []
            if verb == "EHLO":
                self.say("\r\n".join(["250-sink"] + [f"250-{e}" for e in self.extensions.split()] + ["250 DSN"]))
            elif verb == "MAIL":
                sender, taken = re.search("<(.*?)>", line)[1], []
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                self.rcpt(re.search("<(.*?)>", line)[1], taken)
                self.sink.event("rcpt")
            elif verb == "DATA":
                if not taken:
                    self.say("554 5.5.1 no recipients")
                    continue
                self.say("354 go on")
                text = b""
                while (part := self.reader.readline()) != b".\r\n":
                    if not part:
                        return
                    text += part
                self.awaits_reset = False
                self.end(sender, taken, text)
            elif verb == "BDAT":
                size = int(line.split()[1])
                text = self.reader.read(size)
                if len(text) < size:
                    return
                if taken:
                    self.awaits_reset = True
                    self.end(sender, taken, text)
                else:
                    self.say("554 5.5.1 no recipients")
            elif verb == "RSET":
                self.say("250 2.0.0 ok")
                self.answered()
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("502 5.5.1 not here")

    def rcpt(self, address, taken):
        local = address.split("@")[0]
        sink = self.sink
        with sink.lock:
            if "." not in local:
                kind, message = "ok", None
            else:
                message, _, kind = local.split(".")
                # Another recipient of a message is asked for: what was said of those before is known.
                for copy in sink.by_message[message]:
                    if copy.life == self.life and copy.replied is not None:
                        copy.followed = True
                        copy.settled = copy.settled or sink.clock()
            full = len(taken) >= self.limit
            if not full:
                sink.asked[address] += 1
            times = sink.asked[address]
        if kind == "no":
            self.say("550 5.1.1 no such mailbox")
        elif full:
            self.say("452 4.5.3 too many recipients")
        elif kind[0] == "g" and times <= int(kind[1:]):
            self.say("450 4.2.0 greylisted")
        else:
            taken.append(address)
            self.say("250 2.1.5 ok")

    def end(self, sender, taken, text):
        sink = self.sink
        sink.event("end")
        message = taken[0].split(".")[0]
        with sink.lock:
            wait = sink.random.choice([0, 0, 0, 0.001, 0.004])
            postpone = message[0] == "d" and message not in sink.postponed
            if postpone:
                sink.postponed.add(message)
        if wait:
            time.sleep(wait)
        if postpone:
            self.say("451 4.3.0 not now")
            return
        copies = [Copy(self.life, sink.clock()) for _ in taken]
        with sink.lock:
            if sender == "":
                for address in re.findall(rb"(?im)^Final-Recipient: *rfc822; *(\S+)", text):
                    sink.bounced[address.decode()].append(sink.clock())
                    sink.reported[address.decode()].update(taken)
            else:
                for address, copy in zip(taken, copies):
                    sink.copies[address].append(copy)
                    sink.by_message[message].append(copy)
        self.say("250 2.0.0 taken")
        self.told = copies
        if not self.awaits_reset:
            self.answered()
        sink.event("told")

    def answered(self):
        """All that the client waits for before it counts a message as taken is on its way."""
        now = time.monotonic()
        for copy in self.told:
            copy.replied = copy.replied or now
