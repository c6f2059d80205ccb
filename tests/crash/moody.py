"""The two servers of sink.py as they do not always fare well; they see whether each message is whole."""

import contextlib
import random
import re
import time

from sink import EXTENSIONS, Sink, Talk

# How they fare, and how often.
MOODS = ["well"] * 6 + ["closed", "breaks", "breaks", "forgets", "slow"]


class Moody(Talk):
    def mood(self):
        return self.sink.moods[self.extensions]

    def run(self):
        if self.mood() == "closed":
            with contextlib.suppress(OSError):
                self.say("421 4.3.2 not now")
            self.reader.close()
            self.client.close()
        else:
            super().run()

    def say(self, text):
        mood = self.mood()
        if mood == "slow":
            time.sleep(0.2)
        if mood == "breaks" and self.sink.chance.random() < 0.1 or mood == "forgets" and text.endswith(" taken"):
            raise ConnectionError
        super().say(text)

    def end(self, sender, taken, text):
        if sender and not re.search(rb"^end of \d+\r?$", text, re.M):
            self.sink.torn.append(taken[0])
        super().end(sender, taken, text)


class MoodySink(Sink):
    def __init__(self, seed):
        self.chance, self.torn = random.Random(seed), []
        self.be_well()
        super().__init__(seed, Moody)

    def change(self):
        self.moods[self.chance.choice(EXTENSIONS)] = self.chance.choice(MOODS)

    def be_well(self):
        self.moods = dict.fromkeys(EXTENSIONS, "well")
