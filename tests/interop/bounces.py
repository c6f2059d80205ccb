"""A server that refuses, and a page about the bounces that came of it. Called by bounces.sh.

    bounces.py serve PORT FOLDER     keeps what comes from the null sender in FOLDER/NUMBER
    bounces.py page FOLDER           FOLDER/PEER/CASE -> Markdown
"""

import email.parser
import email.policy
import pathlib
import socketserver
import sys

CASES = {
    "gone": "550 at RCPT",
    "data": "552 behind the message",
    "large": "larger than the SIZE that the server offers",
    "later": "450 at RCPT until the mail is too old",
}
PEERS = {"ours": "nullmailer", "postfix": "Postfix", "exim": "Exim"}
RCPT = {"gone": "550 5.1.1 no such mailbox", "later": "450 4.2.0 busy, come again"}


class Refuse(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.say("220 sink.example ESMTP")
        sender = recipients = None
        while line := self.rfile.readline().decode("utf-8", "replace").strip():
            verb = line[:4].upper()
            name = line.partition("<")[2].partition("@")[0]
            if verb == "EHLO":
                self.say("250-sink.example\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 140000")
            elif verb == "MAIL":
                sender, recipients = line.partition("<")[2].partition(">")[0], []
                size = int(line.upper().partition("SIZE=")[2].partition(" ")[0] or 0)
                self.say("250 2.1.0 ok" if size <= 140000 else "552 5.3.4 message is too large")
            elif verb == "RCPT":
                if name not in RCPT:
                    recipients.append(name)
                self.say(RCPT.get(name, "250 2.1.5 ok"))
            elif verb == "DATA" and not recipients:
                self.say("554 5.5.1 no valid recipients")
            elif verb == "DATA":
                self.say("354 go on")
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text += line[1:] if line.startswith(b".") else line
                if sender == "":
                    folder = pathlib.Path(sys.argv[3])
                    (folder / str(len(list(folder.iterdir())))).write_bytes(text)
                refused = "data" in recipients
                self.say("552 5.2.2 mailbox is full" if refused else "250 2.0.0 taken")
            else:
                self.say("221 2.0.0 bye" if verb == "QUIT" else "250 2.0.0 ok")


def parts(path):
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(path.read_bytes())
    human, status = message.get_payload()[:2]
    blocks = [block for block in status.get_payload() if block.items()]
    return message, human.get_payload(decode=True).decode().replace("\r\n", "\n"), blocks


def page(folder):
    found = {case: {peer: parts(folder / peer / case) for peer in PEERS} for case in CASES}
    print("# Bounces, beside those of Postfix and Exim")
    print("\nWritten by `MATRIX=/dev/null tests/interop/run.sh bounces`: the same refusals of the same server, and what each")
    print("mailer from Debian 12 tells the sender. Shown are the text and the `message/delivery-status` part; the quoted original is left out.")
    fields = {}
    for case in found.values():
        for peer, (message, _, blocks) in case.items():
            for name in [*message.keys(), *(name for block in blocks for name in block.keys())]:
                fields.setdefault(name.title(), {}).setdefault(peer, 0)
            for name in {name.title() for name in [*message.keys(), *(n for b in blocks for n in b.keys())]}:
                fields[name][peer] += 1
    print("\n## Which fields\nIn how many of the four bounces.\n")
    print("| field | " + " | ".join(PEERS.values()) + " |\n|---|" + "---|" * len(PEERS))
    for name in sorted(fields):
        if name not in ("Received", "Return-Path", "Envelope-To", "Delivery-Date"):
            print(f"| {name} | " + " | ".join(str(fields[name].get(peer, "–")) for peer in PEERS) + " |")
    for case, title in CASES.items():
        print(f"\n## {title[0].upper()}{title[1:]}")
        for peer, name in PEERS.items():
            message, human, blocks = found[case][peer]
            print(f"\n{name}:\n```")
            for header in ("From", "Subject", "Auto-Submitted"):
                print(f"{header}: {message.get(header, '(none)')}")
            print(f"\n{human.strip()}\n")
            for block in blocks:
                print("\n".join(f"{key}: {value}" for key, value in block.items()) + "\n")
            print("```")


if sys.argv[1] == "serve":
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[2])), Refuse).serve_forever()
else:
    page(pathlib.Path(sys.argv[2]))
