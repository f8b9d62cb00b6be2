"""What a release is worth to several units together: people who know one another, or one person
with several units.

Neighbouring corpora differ by all of the group's units, added or removed together. Two things
protect them, whose noise is independent. Sums are a Gaussian mechanism whose sensitivity is as many
clip norms as members are drawn at once, each by a coin of its own; that many times 1 for the totals
of phrases. And what only they say stays below the threshold of published phrases, but for a
probability that grows with their number. It is added to delta: whatever epsilon is,

    delta = published + (1 - published) (delta of the sums).
"""

import math
from collections.abc import Sequence

from speechpriv.claim import GroupPrivacy
from speechpriv.train import accounting, phrases

SIZES = (2, 5, 10)


def state_group_privacy(events: Sequence[accounting.Event], delta: float, cap: int = 1) -> tuple[GroupPrivacy, ...]:
    """State epsilon and delta for groups of each of `SIZES`, up to the first that no finite epsilon
    covers.

    The sums are priced at the delta that they have in the claim of one unit: `delta` less its
    slips. What the group alone may have published comes on top, since no epsilon covers it.

    Args:
      events: what was released.
      delta: of the claim about one unit.
      cap: n-grams of a unit that count, at most; of an event with a slip.
    """
    slips = [event for event in events if event is not None and event.slip]
    of_sums = delta - math.fsum(event.slip for event in slips)
    found = []
    for size in SIZES:
        epsilon = accounting.epsilon_of(accounting.of_group(events, size), of_sums)
        chances = (phrases.release_probability(one.noise_multiplier, one.slip, cap, size) for one in slips)
        published = min(1.0, math.fsum(chances))
        if not epsilon < math.inf:
            break
        both = published + (1 - published) * of_sums
        found.append(GroupPrivacy(size=size, epsilon=epsilon, delta=both, published=published))
    return tuple(found)
