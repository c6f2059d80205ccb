"""Reads a delivery report on stdin as a mail program does, and prints what it found, one `NAME: VALUE` a line.

Fails if the report is not what RFC 3464 and RFC 6522 say, or if a parser has to guess.
"""

import email
import email.policy
import sys

raw = sys.stdin.buffer.read()
assert b"\r" not in raw and b"\0" not in raw, "line ends"
assert max(map(len, raw.split(b"\n"))) <= 998, "a line is too long"
message = email.message_from_bytes(raw, policy=email.policy.default)


def check(part):
    assert not part.defects, (part.get_content_type(), part.defects)
    for name, value in part.items():
        assert not getattr(value, "defects", ()), (name, value, value.defects)


assert message.get_content_type() == "multipart/report"
assert message.get_param("report-type") == "delivery-status"
assert not message.preamble and not message.epilogue
check(message)
for name in ["From", "To", "Subject", "Date", "Message-Id", "MIME-Version", "Auto-Submitted"]:
    assert len(message.get_all(name, [])) == 1, name
human, machine, original = message.get_payload()
for part in (human, machine, original):
    check(part)
assert human.get_content_type() == "text/plain"
assert machine.get_content_type() == "message/delivery-status"
assert original.get_content_type() in ("message/rfc822", "message/global")
if message.get("Content-Transfer-Encoding") != "8bit":
    assert raw.isascii(), "eight bits that nobody announced"
assert machine.as_bytes().isascii()

blocks = [
    [(name, str(value)) for name, value in block.items()] for block in machine.get_payload()
]
about, recipients = dict(blocks[0]), [dict(block) for block in blocks[1:]]
assert all(len(dict(block)) == len(block) for block in blocks), "a field stands there twice"
assert set(about) <= {"Reporting-MTA", "Arrival-Date", "Original-Envelope-Id"}, about
assert recipients, "no recipient"
for recipient in recipients:
    assert list(recipient)[:4] == ["Final-Recipient", "Action", "Status", "Last-Attempt-Date"]
    assert recipient["Action"] == {"4": "delayed", "5": "failed"}[recipient["Status"][0]]
    for name in ("Final-Recipient", "Remote-MTA", "Diagnostic-Code"):
        assert "; " in recipient.get(name, "; "), recipient

inner = original.get_payload()[0]
found = {
    "to": message["To"],
    "from": message["From"],
    "encoding": message.get("Content-Transfer-Encoding", "7bit"),
    "original": original.get_content_type(),
    "subject": inner["Subject"],
    "body": inner.get_payload(decode=True).decode("utf-8", "replace"),
    "text": human.get_content(),
    **about,
}
for number, recipient in enumerate(recipients, 1):
    for name, value in recipient.items():
        found[f"{number}.{name}"] = value
for name, value in found.items():
    print(f"{name}: {value!r}")
