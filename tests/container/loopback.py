"""What a machine without any network is given to talk to, on loopback: a smarthost, and a name server.

usage: loopback.py FOLDER PORT

Runs in a network namespace of its own, and brings its loopback up. The smarthost listens on PORT and writes each
message to FOLDER/N. The name server knows `relay.dns.test`, 127.0.0.1. FOLDER/ready appears when both listen.
"""

import fcntl
import os
import socket
import struct
import sys
import threading

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 1, 64
KNOWN = b"\5relay\3dns\4test\0"
folder, port = sys.argv[1], int(sys.argv[2])
lock = threading.Lock()
taken = 0


def take(client):
    global taken
    with client, client.makefile("rwb") as stream:

        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 relay.test ESMTP")
        for line in stream:
            verb = line[:4].upper()
            if verb == b"EHLO":
                say("250 relay.test")
            elif verb == b"DATA":
                say("354 go on")
                lines = []
                for line in stream:
                    if line == b".\r\n":
                        break
                    lines.append(line.removeprefix(b".").replace(b"\r\n", b"\n"))
                else:
                    return
                with lock:
                    taken += 1
                    name = f"{folder}/{taken}"
                    with open(name + ".new", "wb") as file:
                        file.write(b"".join(lines))
                    os.rename(name + ".new", name)
                say("250 2.0.0 taken")
            elif verb == b"QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok")


def answer_names(server):
    while True:
        query, client = server.recvfrom(512)
        name, rest = query[12:].split(b"\0", 1)
        name += b"\0"
        kind = struct.unpack("!H", rest[:2])[0]
        known = name.lower() == KNOWN
        found = known and kind == 1
        flags = 0x8580 if known else 0x8583
        head = query[:2] + struct.pack("!5H", flags, 1, int(found), 0, 0)
        record = struct.pack("!3HIH", 0xC00C, 1, 1, 60, 4) + bytes([127, 0, 0, 1])
        server.sendto(head + name + rest[:4] + (record if found else b""), client)


with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
threading.Thread(target=answer_names, args=(names,), daemon=True).start()
smarthost = socket.create_server(("127.0.0.1", port))
open(f"{folder}/ready", "w").close()
while True:
    threading.Thread(target=take, args=(smarthost.accept()[0],), daemon=True).start()
