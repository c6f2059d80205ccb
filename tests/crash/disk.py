"""A disk that tells what a power cut would leave of it.

The disk is one file in a FUSE file system of its own, fit to be the file of a loop device. Every write and every
flush of the device is appended to a log before the kernel hears that it is done. What a cut leaves is made from a
part of that log: all that came before the last flush, and of what came after it whatever the disk liked to keep.

The FUSE protocol is spoken straight to the kernel: of one file little is asked, and nothing has to be installed.
"""

import ctypes
import errno
import os
import random
import stat
import struct

WRITE, FLUSH = 0, 1
RECORD = struct.Struct("<BQI")
SECTOR = 512

# The kernel's include/uapi/linux/fuse.h.
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE_TO = 1, 2, 3, 4, 14, 15, 16
STATFS, RELEASE, FSYNC, FLUSH_HANDLE, INIT, OPENDIR, INTERRUPT, BATCH_FORGET = 17, 18, 20, 25, 26, 27, 36, 42
RELEASEDIR, DESTROY = 29, 38
BIG_WRITES, MAX_PAGES = 1 << 5, 1 << 22
PAGES = 256
ROOT, DISK = 1, 2


class Server:
    """Answers the kernel, in the order of its questions, until the file system is unmounted."""

    def __init__(self, folder, size, log):
        self.size, self.data, self.log = size, bytearray(size), log
        self.device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"disk", os.fsencode(folder), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "cannot mount a FUSE file system")

    def serve(self):
        while True:
            try:
                request = os.read(self.device, PAGES * 4096 + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            answer = self.answer(opcode, node, memoryview(request)[40:])
            error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(self.device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def answer(self, opcode, node, body):
        """The reply's body, or the number of an error."""
        if opcode == INIT:
            major, minor, readahead = struct.unpack_from("<III", body)
            return struct.pack("<IIIIHHIIHHI28x", major, min(minor, 31), readahead, BIG_WRITES | MAX_PAGES,
                               16, 12, PAGES * 4096, 1, PAGES, 0, 0)
        if opcode == LOOKUP:
            if bytes(body).rstrip(b"\0") != b"disk":
                return errno.ENOENT
            return struct.pack("<QQQQII", DISK, 0, 3600, 3600, 0, 0) + self.attributes(DISK)
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, 0, 0)
        if opcode == READ:
            _, offset, length = struct.unpack_from("<QQI", body)
            return bytes(self.data[offset:offset + length])
        if opcode == WRITE_TO:
            _, offset, length = struct.unpack_from("<QQI", body)
            data = body[40:40 + length]
            self.data[offset:offset + length] = data
            os.writev(self.log, [RECORD.pack(WRITE, offset, length), data])
            return struct.pack("<II", length, 0)
        if opcode == FSYNC:
            os.write(self.log, RECORD.pack(FLUSH, 0, 0))
            return b""
        if opcode in (FLUSH_HANDLE, RELEASE, RELEASEDIR, DESTROY):
            return b""
        if opcode == STATFS:
            return struct.pack("<QQQQQIII28x", self.size // 4096, 0, 0, 2, 0, 4096, 255, 4096)
        return errno.ENOSYS

    def attributes(self, node):
        mode, size = (stat.S_IFREG | 0o600, self.size) if node == DISK else (stat.S_IFDIR | 0o700, 0)
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def attach(folder, size, log):
    """Makes the disk `folder`/disk and serves it in a process of its own; returns its pid."""
    server = Server(folder, size, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    pid = os.fork()
    if pid == 0:
        try:
            server.serve()
        finally:
            os._exit(0)
    os.close(server.device)
    return pid


class Cuts:
    """What is left of the disk after a cut, for positions in the log that only grow."""

    def __init__(self, size, log, image):
        self.log = open(log, "rb")
        self.image = image
        self.safe = bytearray(size)
        self.pending = []

    def at(self, position, mode, rng):
        """Writes the image as a cut at `position` leaves it.

        `mode` is what happens to writes that no flush followed: "none" or "all" is kept, or "some", some of
        them only in part.
        """
        while self.log.tell() < position:
            kind, offset, length = RECORD.unpack(self.log.read(RECORD.size))
            if kind == FLUSH:
                self.keep(self.safe, self.pending)
                self.pending = []
            else:
                self.pending.append((offset, self.log.read(length)))
        left = bytearray(self.safe)
        if mode == "all":
            self.keep(left, self.pending)
        elif mode == "some":
            chance = rng.random()
            kept = [write for write in self.pending if rng.random() < chance]
            self.keep(left, [sectors for write in kept for sectors in torn(write, rng)])
        with open(self.image, "r+b" if os.path.exists(self.image) else "wb") as image:
            image.write(left)

    @staticmethod
    def keep(disk, writes):
        for offset, data in writes:
            disk[offset:offset + len(data)] = data


def torn(write, rng):
    """The write, or now and then only some of its sectors."""
    offset, data = write
    if rng.random() < 0.8:
        return [write]
    starts = range(0, len(data), SECTOR)
    return [(offset + at, data[at:at + SECTOR]) for at in starts if rng.random() < 0.5]


def positions(log):
    """Where a cut can be made: behind each write and each flush."""
    with open(log, "rb") as records:
        while header := records.read(RECORD.size):
            _, _, length = RECORD.unpack(header)
            records.seek(length, os.SEEK_CUR)
            yield records.tell()
