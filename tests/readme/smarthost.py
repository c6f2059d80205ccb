"""A smarthost for one client at a time: STARTTLS, then a login, then mail, which is written to a file.

    smarthost.py PORT CERTIFICATE KEY USER PASSWORD FILE
"""

import base64
import socket
import ssl
import sys


def serve(client, tls, login, path):
    wire = client.makefile("rwb")
    secure = welcome = False

    def say(line):
        wire.write(line.encode() + b"\r\n")
        wire.flush()

    say("220 smarthost ESMTP")
    while line := wire.readline().decode().rstrip("\r\n"):
        verb = line.split(":")[0].split(" ")[0].upper()
        if verb == "EHLO":
            say("250-smarthost")
            say("250 AUTH PLAIN" if secure else "250 STARTTLS")
        elif verb == "STARTTLS":
            say("220 go on")
            wire = tls.wrap_socket(client, server_side=True).makefile("rwb")
            secure = True
        elif verb == "AUTH":
            welcome = secure and base64.b64decode(line.split(" ")[2]).split(b"\0") == [b"", *login]
            say("235 welcome" if welcome else "535 no")
        elif verb == "QUIT":
            say("221 bye")
            return
        elif not welcome:
            say("530 log in first")
        elif verb == "DATA":
            say("354 go on")
            lines = []
            while (text := wire.readline()) != b".\r\n":
                lines.append(text)
            with open(path, "ab") as out:
                out.writelines(lines)
            say("250 taken")
        else:
            say("250 ok")


def main():
    port, certificate, key, user, password, path = sys.argv[1:]
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", int(port))) as server:
        while True:
            client, _ = server.accept()
            with client:
                serve(client, tls, [user.encode(), password.encode()], path)


main()
