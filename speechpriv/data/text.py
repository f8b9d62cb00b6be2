"""Synthetic English text: a wide vocabulary for pre-training, from word frequencies, names and
number grammars.

Words come from `wordfreq` (Speer 2022, the extra `voices`), names from Faker. Everything is
lower-case a-z and apostrophes, as a recogniser's transcript.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from speechpriv.errors import ConfigError

VOCABULARY = 25_000
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spoken_number(value: int) -> str:
    """Return the English words of an integer in [0, 999,999]: 1984 -> "one thousand nine hundred
    eighty four".
    """
    if not 0 <= value < 1_000_000:
        raise ConfigError(f"spoken_number: {value} is outside 0 to 999,999.")
    if value < 10:
        return ONES[value]
    if value < 20:
        return TEENS[value - 10]
    if value < 100:
        return TENS[value // 10 - 2] + (f" {ONES[value % 10]}" if value % 10 else "")
    unit, name = (100, "hundred") if value < 1000 else (1000, "thousand")
    rest = value % unit
    return f"{spoken_number(value // unit)} {name}" + (f" {spoken_number(rest)}" if rest else "")


def spoken_digits(digits: str) -> str:
    """Return a digit string, digit by digit: "407" -> "four zero seven"."""
    return " ".join(ONES[int(digit)] for digit in digits)


@functools.cache
def list_words() -> tuple[tuple[str, ...], np.ndarray]:
    """List the commonest English words, commonest first, with their probabilities (float64, sum 1)."""
    try:
        import wordfreq  # noqa: PLC0415  optional, as the voices are
    except ImportError as error:
        raise ConfigError(
            "synthetic text needs the extra `voices`, which is not installed. Run: pip install 'speechpriv[voices]'"
        ) from error
    candidates = wordfreq.top_n_list("en", 2 * VOCABULARY, wordlist="best")
    chosen = [word for word in candidates if word.isascii() and word.replace("'", "").isalpha()][:VOCABULARY]
    frequency = np.array([wordfreq.word_frequency(word, "en") for word in chosen])
    return tuple(chosen), frequency / frequency.sum()


@functools.cache
def list_names(*which: str) -> tuple[str, ...]:
    """List names of Faker's American list, lower-case: of the lists `which`, or `first_names` and
    `last_names`.
    """
    from faker.providers.person.en_US import Provider  # noqa: PLC0415  a second to import, and only needed here

    listed = {name for one in which or ("first_names", "last_names") for name in getattr(Provider, one)}
    return tuple(sorted(name.lower() for name in listed if name.isascii() and name.isalpha()))


def random_words(rng: np.random.Generator, count: int, flatness: float = 0.5) -> list[str]:
    """Draw words independently with probability ~ frequency^(1 - flatness): 0 as in English, 1
    uniform.
    """
    vocabulary, probability = list_words()
    weight = probability ** (1 - flatness)
    return [vocabulary[i] for i in rng.choice(len(vocabulary), size=count, p=weight / weight.sum())]


def draw_sentence(rng: np.random.Generator) -> str:
    """Draw one synthetic utterance of 1 to 12 words: words, commands, numbers, names or spelled
    letters.
    """
    kinds: Sequence[tuple[float, Callable[[np.random.Generator], str]]] = (
        (0.46, _word_salad),
        (0.18, _single_word),
        (0.14, _number),
        (0.14, _carrier),
        (0.04, _spelling),
        (0.04, _name),
    )
    weights = np.array([weight for weight, _ in kinds])
    return kinds[rng.choice(len(kinds), p=weights / weights.sum())][1](rng)


def _word_salad(rng: np.random.Generator) -> str:
    # Natural and flattened frequencies are mixed: function words where they belong, rare words
    # often enough.
    natural = random_words(rng, int(rng.integers(1, 7)), flatness=0.1)
    flat = random_words(rng, int(rng.integers(1, 5)), flatness=0.7)
    return " ".join(rng.permutation(natural + flat))


def _single_word(rng: np.random.Generator) -> str:
    return random_words(rng, 1, flatness=float(rng.choice([0.3, 0.8])))[0]


def _number(rng: np.random.Generator) -> str:
    match rng.integers(4):
        case 0:
            return spoken_digits("".join(str(d) for d in rng.integers(10, size=rng.integers(1, 11))))
        case 1:
            return spoken_number(int(10 ** rng.uniform(0, 5.9)))
        case 2:
            minute = int(rng.integers(60))
            return f"{spoken_number(int(rng.integers(1, 13)))} {spoken_number(minute) if minute else 'o clock'}"
        case _:
            return f"{spoken_number(int(rng.integers(100)))} {random_words(rng, 1)[0]}"


def _carrier(rng: np.random.Generator) -> str:
    frames = (
        "the {} is {}", "a {} and a {}", "what is the {} of {}", "turn {} the {}", "play {} by {}",
        "i want to {} the {}", "do you know {} {}", "please {} my {}", "it was {} in {}", "she said {} to {}",
        "go {} then {}", "there is {} {}", "how do i {} {}", "we can not {} without {}", "set the {} to {}",
        "yes {} {}", "no {} {}",
    )  # fmt: skip
    return str(rng.choice(frames)).format(
        " ".join(random_words(rng, int(rng.integers(1, 4)), 0.4)), random_words(rng, 1, 0.6)[0]
    )


def _spelling(rng: np.random.Generator) -> str:
    return " ".join(random_words(rng, 1, 0.8)[0].replace("'", ""))


def _name(rng: np.random.Generator) -> str:
    chosen = " ".join(rng.choice(list_names(), size=rng.integers(1, 3)))
    return str(rng.choice(["{}", "my name is {}", "call {}", "{} said hello", "send it to {}"])).format(chosen)
