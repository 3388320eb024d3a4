"""The story grammar: how a story is told, and how a telling is checked."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from .words import GIFTS, ROAD, VERBS, WEATHERS

_PLACES = tuple(place for place, _ in ROAD)


@dataclass(frozen=True)
class StoryPlan:
    name: str
    hero: str
    home: str
    days: int

    def request(self) -> str:
        return f"Tell a story of {self.days} days about {self.name} the {self.hero} from the {self.home}."


def tell(plan: StoryPlan, rng: random.Random) -> str:
    """One telling of `plan`: the road is fixed, verbs, weather and gifts are free."""
    gifts = [rng.choice(GIFTS) for _ in range(plan.days)]
    days = " ".join(
        _day(plan, day, rng.choice(VERBS), rng.choice(WEATHERS), gift)
        for day, gift in enumerate(gifts, start=1)
    )
    return f"{_opening(plan)} {days} {_ending(plan, rng.choice(gifts))}"


def is_story(plan: StoryPlan, text: str) -> bool:
    """Whether `text` is a telling of `plan`: the road in order, each day once, a best gift once given."""
    verb, weather, gift = (f"({'|'.join(words)})" for words in (VERBS, WEATHERS, GIFTS))
    days = " ".join(re.escape(_day(plan, day, "VERB", "WEATHER", "GIFT")) for day in range(1, plan.days + 1))
    pattern = f"{re.escape(_opening(plan))} {days} {re.escape(_ending(plan, 'GIFT'))}"
    pattern = pattern.replace("VERB", verb).replace("WEATHER", weather).replace("GIFT", gift)
    match = re.fullmatch(pattern, text.strip())
    if match is None:
        return False
    *given, best = [word for word in match.groups() if word in GIFTS]
    return best in given


def _opening(plan: StoryPlan) -> str:
    return f"{plan.name} the {plan.hero} lived by the {plan.home} and left home to see the world."


def _day(plan: StoryPlan, day: int, verb: str, weather: str, gift: str) -> str:
    place, host = ROAD[(_PLACES.index(plan.home) + day) % len(ROAD)]
    return (
        f"On day {day} {plan.name} {verb} to the {place} and met the {host}. It was {weather}. "
        f"The {host} gave {plan.name} the {gift}, and {plan.name} said thank you."
    )


def _ending(plan: StoryPlan, best_gift: str) -> str:
    home = f"After {plan.days} days {plan.name} came home to the {plan.home}."
    return f"{home} The best gift was the {best_gift}. The end."
