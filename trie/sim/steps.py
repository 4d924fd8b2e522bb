"""Steps of an engine while its batch stays as it is, in closed form: each is longer than the last by the same time."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt


@dataclass(slots=True)
class Steps:
    """The steps after number `first`, which ended at `epoch`."""

    epoch: float = 0.0
    first: int = 0
    flat_s: float = 0.0  # of each, whatever the contexts
    per_token_s: float = 0.0  # of each token of context
    context: int = 0  # tokens, in the first of these steps
    growth: int = 0  # by which that grows with each step

    def end(self, number: int) -> float:
        """When step `number` ends."""
        steps = number - self.first
        tokens = self.context * steps + self.growth * (steps * (steps - 1) // 2)
        return self.epoch + steps * self.flat_s + tokens * self.per_token_s

    def last_ended(self, at: float, most: int) -> int:
        """The number of the last step that ended by `at`; at most `most`."""
        number = min(max(self._estimate(at), self.first), most)
        while number > self.first and self.end(number) > at:
            number -= 1
        while number < most and self.end(number + 1) <= at:
            number += 1
        return number

    def first_ending(self, at: float, most: int) -> int:
        """The number of the first step that ends at `at` or later; at most `most`."""
        number = min(max(self._estimate(at), self.first + 1), most)
        while number > self.first + 1 and self.end(number - 1) >= at:
            number -= 1
        while number < most and self.end(number) < at:
            number += 1
        return number

    def _estimate(self, at: float) -> int:
        """About how many steps have ended by `at`: the sum of their times is a parabola."""
        curve = self.per_token_s * self.growth / 2
        slope = self.flat_s + self.per_token_s * self.context - curve
        since = max(at - self.epoch, 0.0)
        if curve:
            return self.first + floor((sqrt(slope * slope + 4 * curve * since) - slope) / (2 * curve))
        return self.first + floor(since / slope) if slope > 0 else self.first
