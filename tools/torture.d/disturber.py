"""What befalls the site while the daemon is killed: a thread with a draw of its own."""
import random
import threading


class disturber:
    def __init__(self, bed, draw):
        self.bed, self.draw = bed, random.Random(draw.randrange(1 << 31))
        self.share = 0.0
        self.stopping = threading.Event()
        self.thread = None
        self.counts = {}

    def start(self):
        """Nothing befalls it yet."""

    def stop(self):
        """Nothing has to end."""
