"""A TCP relay on loopback that cuts what goes through it when told on standard input.

    relay.py PORT TARGET_PORT        commands, one a line:
    cut S [refuse|silent]            drop all connections and take no new ones for S seconds:
                                     `refuse` answers with a reset, `silent` not at all;
                                     `silent` keeps the dropped ones open without a byte more
"""
import selectors
import socket
import struct
import sys
import time

chunk = 1 << 16
# Bytes that wait for a slow receiver before the sender is no longer read.
waiting_max = 1 << 20
silence = struct.pack("ii", 1, 0)  # SO_LINGER: a close that resets


class flow:
    """One direction of one connection."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.waiting, self.ended, self.closed = bytearray(), False, False


class relay:
    def __init__(self, port, target):
        self.port, self.target = port, target
        self.pick = selectors.DefaultSelector()
        self.flows = {}  # by source socket
        self.partner = {}
        self.frozen = []
        self.until, self.silent, self.listener = 0.0, False, None
        self.listen()
        self.pick.register(sys.stdin.fileno(), selectors.EVENT_READ, "command")

    def listen(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(256)
        self.listener.setblocking(False)
        self.pick.register(self.listener, selectors.EVENT_READ, "accept")

    def run(self):
        while True:
            rest = max(0.0, self.until - time.monotonic()) if self.until else None
            for key, events in self.pick.select(rest):
                if key.data == "accept":
                    self.accept()
                elif key.data == "command":
                    line = sys.stdin.buffer.raw.readline(200)
                    if not line:
                        return
                    self.cut(line.decode().split())
                elif key.fileobj in self.partner:
                    self.move(key.fileobj, events)
            if self.until and time.monotonic() >= self.until:
                self.heal()

    def cut(self, words):
        if len(words) < 2 or words[0] != "cut":
            return
        self.until = time.monotonic() + float(words[1])
        self.silent = words[2:] == ["silent"]
        for one in list(self.partner):
            if one not in self.partner:
                continue
            if self.silent:
                self.freeze(one)
            else:
                self.drop(one)
        if not self.silent and self.listener:
            self.pick.unregister(self.listener)
            self.listener.close()
            self.listener = None

    def heal(self):
        self.until, self.silent = 0.0, False
        for one in self.frozen:
            reset(one)
        self.frozen = []
        if self.listener is None:
            self.listen()

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        if self.until:  # silent: taken, and never answered
            self.frozen.append(client)
            return
        server = socket.socket()
        try:
            server.connect(("127.0.0.1", self.target))
        except OSError:
            reset(client)
            server.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.partner[one] = other
            self.flows[one] = flow(one, other)
            self.pick.register(one, selectors.EVENT_READ, "data")

    def move(self, one, events):
        try:
            if events & selectors.EVENT_READ:
                data = one.recv(chunk)
                self.flows[one].ended |= not data
                self.flows[one].waiting += data
                self.push(self.flows[one])
            if events & selectors.EVENT_WRITE:
                self.push(self.flows[self.partner[one]])
        except BlockingIOError:
            pass
        except OSError:
            self.drop(one)
            return
        both = (self.flows[one], self.flows[self.partner[one]])
        if all(way.closed for way in both):
            self.drop(one)
            return
        for way in both:
            self.watch(way.source)

    def push(self, way):
        if way.waiting:
            try:
                sent = way.sink.send(way.waiting)
                del way.waiting[:sent]
            except BlockingIOError:
                pass
        if way.ended and not way.waiting and not way.closed:
            way.sink.shutdown(socket.SHUT_WR)
            way.closed = True

    def watch(self, one):
        """Reads while there is room, writes while something waits."""
        mine, theirs = self.flows[one], self.flows[self.partner[one]]
        wanted = 0
        if not mine.ended and len(mine.waiting) < waiting_max:
            wanted |= selectors.EVENT_READ
        if theirs.waiting:
            wanted |= selectors.EVENT_WRITE
        try:
            known = self.pick.get_key(one).events
        except KeyError:
            known = 0
        if wanted == known:
            return
        if known:
            self.pick.unregister(one)
        if wanted:
            self.pick.register(one, wanted, "data")

    def forget(self, one):
        other = self.partner.pop(one)
        del self.partner[other]
        for end in (one, other):
            del self.flows[end]
            try:
                self.pick.unregister(end)
            except KeyError:
                pass
        return one, other

    def drop(self, one):
        for end in self.forget(one):
            reset(end)

    def freeze(self, one):
        self.frozen += self.forget(one)


def reset(one):
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, silence)
    except OSError:
        pass
    one.close()


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2])).run()
