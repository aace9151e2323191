# SPDX-License-Identifier: MIT
"""Whether the host was quiet enough for times to mean anything: a loop of always the same work, timed between the parts of the bench while
none of its machines runs. What others take from it shows as time that passes and is not ours."""
import time

WORK = 2_000_000
BUSY = 1.25  # as slow, compared with the CPU time of its quickest turn


class Reference:
    def __init__(self):
        self.turns = []  # (seconds that passed, of them CPU time)

    def look(self, turns=3):
        for _ in range(turns):
            wall, cpu = time.perf_counter(), time.thread_time()
            for _ in range(WORK):
                pass
            self.turns.append((time.perf_counter() - wall, time.thread_time() - cpu))

    def slowness(self):
        """Of each turn: 1 is as quick as the loop can be here."""
        quickest = min(cpu for _, cpu in self.turns)
        return [wall / quickest for wall, _ in self.turns]

    def verdict(self):
        slow = sorted(self.slowness())
        worst, middle = slow[-1], slow[len(slow) // 2]
        text = f"reference loop, {len(slow)} turns between the parts: {middle:.2f} of its best in the middle, {worst:.2f} at worst"
        if middle > BUSY or slow[len(slow) * 3 // 4] > BUSY:
            return f"{text}: THE MACHINE WAS TOO BUSY, the times and ratios above mean nothing"
        return text
