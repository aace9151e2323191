# SPDX-License-Identifier: MIT
"""A disk with a volatile write cache, and what a power cut leaves of it.

QEMU gets it over NBD (its protocol document: fixed newstyle; no TLS, no structured replies). Each write and flush is logged
twice: when it came and when it was answered. Answers come late, by random times, and not in the order of the requests:
whoever takes a write or a flush for done too early is found out.

The promise of the disk is that of drivers-dom/blk/blkdev.h: an answered flush covers the writes that were answered before it
came. PowerCuts rebuilds what the disk may hold after a cut at any point of the log: all covered writes, and of the others
that came before it any part, in any order, torn between blocks of 4 KiB (with less no file system reckons).
"""
import contextlib
import heapq
import os
import pathlib
import random
import select
import shutil
import socket
import struct
import threading
import time

READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
NEVER = 1 << 62
ATOM = 4096
OPT_EXPORT_NAME, OPT_ABORT, OPT_GO = 1, 2, 7
REP_ACK, REP_INFO, REP_UNSUPPORTED = 1, 3, 0x80000001
FLAGS = 1 | 4  # has flags, flush is supported; no FUA: the client flushes instead


class Write:
    """came, done: positions in the log."""
    __slots__ = ("came", "done", "offset", "length", "at")

    def __init__(self, came, offset, length, at):
        self.came, self.done, self.offset, self.length, self.at = came, NEVER, offset, length, at


class CacheDisk:
    def __init__(self, image, seed, write_ms=2, flush_ms=15):
        self.image = pathlib.Path(image)
        self.path, self.now, self.log = (self.image.with_suffix(x) for x in (".sock", ".now", ".log"))
        shutil.copyfile(self.image, self.now)
        self.disk = open(self.now, "r+b")  # as the guest sees it, cache and all; the image stays as it is
        self.data = open(self.log, "w+b")  # what was written, one after the other
        self.size = os.fstat(self.disk.fileno()).st_size
        self.rng = random.Random(seed)
        self.write_ms, self.flush_ms = write_ms, flush_ms
        self.events = 0     # positions given so far
        self.logged = 0     # bytes in data
        self.writes, self.flushes = [], []  # flushes: [came, done]
        self.late = []      # answers to come: (time, number, cookie, what)
        self.error = None
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def drive(self):
        """What -drive file= takes."""
        return f"nbd:unix:{self.path}"

    def stop(self):
        """QEMU has ended, or nobody came."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self.listener.close()
        self.thread.join(30)

    def remove(self):
        """Closes and deletes everything but the image as it was at first."""
        self.stop()
        self.disk.close()
        self.data.close()
        for p in (self.path, self.now, self.log):
            p.unlink(missing_ok=True)

    # --- the protocol ----------------------------------------------------------------------------------------------
    def run(self):
        try:
            self.sock, _ = self.listener.accept()
            self.negotiate()
            self.serve()
        except (OSError, EOFError):
            pass  # QEMU ended
        except Exception as e:  # the test asks for it
            self.error = repr(e)
            raise

    def take(self, n):
        out = bytearray()
        while len(out) < n:
            got = self.sock.recv(n - len(out))
            if not got:
                raise EOFError
            out += got
        return bytes(out)

    def reply_option(self, option, kind, data=b""):
        self.sock.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)

    def negotiate(self):
        self.sock.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        no_zeroes = struct.unpack(">I", self.take(4))[0] & 2
        while True:
            _, option, length = struct.unpack(">QII", self.take(16))
            self.take(length)
            if option == OPT_GO:
                self.reply_option(option, REP_INFO, struct.pack(">HQH", 0, self.size, FLAGS))
                self.reply_option(option, REP_ACK)
                return
            if option == OPT_EXPORT_NAME:
                self.sock.sendall(struct.pack(">QH", self.size, FLAGS) + (b"" if no_zeroes else bytes(124)))
                return
            self.reply_option(option, REP_ACK if option == OPT_ABORT else REP_UNSUPPORTED)

    def serve(self):
        while True:
            self.answer_due()
            wait = max(0, self.late[0][0] - time.monotonic()) if self.late else None
            if select.select([self.sock], [], [], wait)[0]:
                _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", self.take(28))
                if kind == DISCONNECT:
                    return
                self.request(kind, cookie, offset, length)

    def position(self):
        self.events += 1
        return self.events - 1

    def request(self, kind, cookie, offset, length):
        if kind == READ:
            self.answer(cookie, os.pread(self.disk.fileno(), length, offset))
        elif kind == WRITE:
            data = self.take(length)
            os.pwrite(self.disk.fileno(), data, offset)
            os.pwrite(self.data.fileno(), data, self.logged)
            self.writes.append(Write(self.position(), offset, length, self.logged))
            self.logged += length
            self.answer_late(cookie, self.write_ms, self.writes[-1])
        elif kind == FLUSH:
            self.flushes.append([self.position(), NEVER])
            self.answer_late(cookie, self.flush_ms, self.flushes[-1])
        else:
            raise ValueError(f"request {kind}")

    def answer_late(self, cookie, most_ms, what):
        due = time.monotonic() + self.rng.random() * most_ms / 1e3
        heapq.heappush(self.late, (due, self.events, cookie, what))

    def answer_due(self):
        while self.late and self.late[0][0] <= time.monotonic():
            _, _, cookie, what = heapq.heappop(self.late)
            if isinstance(what, Write):
                what.done = self.position()
            else:
                what[1] = self.position()
            self.answer(cookie)

    def answer(self, cookie, data=b""):
        self.sock.sendall(struct.pack(">IIQ", 0x67446698, 0, cookie) + data)

    def content(self, w):
        return os.pread(self.data.fileno(), w.length, w.at)


class PowerCuts:
    """Rebuilds the disk of a finished run for cuts at ascending positions of its log."""

    def __init__(self, disk, flushes=None):
        """flushes: those that count, all unless given."""
        self.disk = disk
        self.flushes = sorted(f[::-1] for f in (disk.flushes if flushes is None else flushes))  # done, came
        self.stable = bytearray(disk.image.read_bytes())
        self.pending = list(disk.writes)  # not in stable
        self.covered, self.next = -1, 0   # a flush that came there was answered; flushes looked at

    def advance(self, position):
        """Everything that is durable at a position goes to stable."""
        while self.next < len(self.flushes) and self.flushes[self.next][0] < position:
            self.covered = max(self.covered, self.flushes[self.next][1])
            self.next += 1
        rest = []
        for i, w in enumerate(self.pending):
            if w.came > self.covered:
                rest += self.pending[i:]
                break
            if w.done < self.covered:
                self.stable[w.offset:w.offset + w.length] = self.disk.content(w)
            else:
                rest.append(w)
        self.pending = rest

    def cached(self, position):
        """The writes that a cut may take or leave."""
        self.advance(position)
        return [w for w in self.pending if w.came < position]

    def cut(self, position, rng):
        """The whole disk after a cut; and how many of how many cached writes it kept something of."""
        cached = self.cached(position)
        out = bytearray(self.stable)
        share, torn = rng.choice((0, 0.1, 0.5, 0.9, 1)), rng.random() < 0.5
        order = list(cached)
        if rng.random() < 0.7:
            rng.shuffle(order)
        kept = 0
        for w in order:
            data = self.disk.content(w)
            at, some = 0, False
            while at < w.length:
                n = min(w.length - at, ATOM - (w.offset + at) % ATOM) if torn else w.length
                if rng.random() < share:
                    out[w.offset + at:w.offset + at + n] = data[at:at + n]
                    some = True
                at += n
            kept += some
        return out, kept, len(cached)

    def no_cut(self):
        """With nothing left out: what the guest saw last."""
        out = bytearray(self.stable)
        for w in self.pending:
            out[w.offset:w.offset + w.length] = self.disk.content(w)
        return out
