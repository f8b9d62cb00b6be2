"""Where people live: street addresses, post-office boxes, and cities by carrier phrase or by list."""

import re
from collections.abc import Iterator
from functools import cache

from faker.providers.address import en_IN, en_US

from speechpriv.scrub.common_names import COMMON, list_names
from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import FUNCTION, MEASURES, MEDIA, STOP, word_set

_STREETS = word_set("street st road rd avenue ave lane ln boulevard blvd crescent parkway highway hwy mews turnpike")
# Streets only beside other evidence: "five minute drive", "twelve hill".
_STREETS_OF_HOMES = word_set("drive dr way ct pl close rise vale quay wharf parade croft rue") | frozenset(
    suffix.lower() for suffix in en_US.Provider.street_suffixes
)
_LAST = _STREETS | word_set("drive dr way court ct place pl terrace circle trail")  # even after another: "lake drive"
STREETS = _STREETS | word_set("rue calle rua viale piazza avenida strada") | _STREETS_OF_HOMES | {"box"}
_HOME = word_set(
    "live lives lived living address home house deliver delivered delivery ship send sent located directions navigate "
    "moved moving reside resides staying stay mail shipped based billing drive take pick office find get lives"
)
_RESIDES = word_set("house apartment flat live lives lived living reside resides address")
_HOUSE = re.compile(r"[0-9]{1,5}[a-z]?(?:[-/][0-9]{1,4}[a-z]?)?")
_STREETS_BEFORE = word_set("rue calle rua viale piazza avenida strada")  # "18 rue lafayette"
_UNITS = word_set("apartment apt flat unit suite room floor number building block")
_DIRECTIONS = word_set("north south east west northwest northeast southwest southeast n s e w nw ne sw se")
_STATES = frozenset(state.lower() for state in en_US.Provider.states)
_ABBREVIATIONS = frozenset(en_US.Provider.states_abbr)  # in capitals: "in", "oh" and "ok" are words
_REGIONS = _STATES | word_set("england scotland wales ireland canada australia france germany india spain italy usa uk")

_CARRIER = re.compile(
    r"(?:^| )(?:(?:live|lives|lived|living|reside|resides|residing|grew up|raised|settled|born|stay|staying|"
    r"relocating|relocated|reared|brought up) (?:\w+ )?(?:in|near|outside|around)|"
    r"(?:i'm|i am|we're|we are|he's|he is|she's|she is|they're|they are|i come|she comes|he comes|we come|originally|"
    r"parents are|family is) (?:originally )?from|"
    r"(?:i'm|i am|we're|we are|he's|he is|she's|she is|currently|am) (?:based|located) (?:in|near)|"
    r"(?:i|we|he|she|they|i'm|we're|am|are|is|just|recently|i've|we've|family) "
    r"(?:just |have |recently )*(?:moved|moving|relocated) "
    r"(?:here )?(?:to|from)|"
    r"(?:home ?town|home city|my city|my town|city of residence|city of birth|place of birth|birthplace)"
    r"(?:'s| is| was))$"
)
LIVES = word_set("in near outside around from to is was hometown's")
_NOT_CITY = word_set(
    "last recently currently originally ago years months weeks days alone together apart pain debt denial "
    "fear peace work town person school paris's people nature bed home harmony luxury poverty captivity water trees "
    "space mars earth hell heaven rooms houses apartments scratch somewhere everywhere nowhere next monday tuesday "
    "wednesday thursday friday saturday sunday where college downtown abroad trouble"
)
# Towns of these names are taken for the word.
_WORDS_TOO = word_set(
    "many man along media lead center centre central union council century normal section sale mission broke winner "
    "supply plenty concrete pen boring reform advance circle cable lock tower gap temple trail begun settle brush "
    "unity summit imperial deposit liberal honor beach bear spring hurt luck mobile reading rugby tea tongue weed yea "
    "brick gulf globe commerce liberty pacific arab atlantic republic reserve alliance sisters mars independence "
    "enterprise valley"
)
NEAR = word_set("in from near to at visiting outside")


def find_addresses(u: Utterance) -> Iterator[Hit]:
    """Find a house number and a street; a street alone only after "live on" or "address is"; a
    post-office box.
    """
    for i, word in enumerate(u.words):
        if word == "box" and (u.before(i, 2) in (["p", "o"], ["post", "office"]) or u.word(i - 1) in ("po", "p.o")):
            end = u.number_at[i + 1].end if i + 1 in u.number_at else i + 1
            yield i - 1 - (u.words[i - 1] in ("o", "office")), _with_city(u, end), "ADDRESS", "address.box"
            continue
        if i in u.number_at and len(u.number_at[i].digits) <= 6:
            first = u.number_at[i].end
            first += len(u.word(first)) == 1 and u.word(first) in "bcd"  # "two twenty one b"
        elif word[0].isdigit() and _HOUSE.fullmatch(word):
            first = i + 1
        elif u.word(i - 1) in ("on", "in", "at", "is") and not _RESIDES.isdisjoint(u.before(i, 5)):
            first = i
        else:
            continue
        first += u.word(first) in _DIRECTIONS and first > i  # "twelve hundred west lake drive"
        before = u.before(i, 5)
        reach = 4 if not _HOME.isdisjoint(before) else int("at" in before or "to" in before)
        end = _street_end(u, first, reach)
        if end and (reach or first == i or MEDIA.isdisjoint(u.before(i, 12))):
            yield _with_unit(u, i), _with_city(u, end), "ADDRESS", "address.street"


def _street_end(u: Utterance, first: int, reach: int) -> int:
    """Index after "martin luther king street" at word `first`, 0 for none; after `reach` words a
    drive is a street.
    """
    for j in range(first, min(first + 5, len(u.words))):
        word = u.words[j]
        if word in _STREETS_BEFORE and j + 1 < len(u.words) and u.words[j + 1] not in STOP:
            return j + 2
        street = word in _STREETS or (word in _STREETS_OF_HOMES and _is_street(u, first, j, reach))
        if j > first and street and u.word(j + 1) not in _LAST:  # "west lake drive"
            return j + 1 + (u.word(j + 1) in _DIRECTIONS)
        if word in MEASURES or (word in FUNCTION and word != "the") or (word in STOP and reach == 0):
            return 0
    return 0


def _is_street(u: Utterance, first: int, j: int, reach: int) -> bool:
    """Whether a word such as "drive" ends a street that starts at `first`: after few words, or
    after a name.
    """
    named = u.words[j - 1] in list_names()[1] and u.words[j - 1] not in COMMON
    return j - first <= reach or named or (u.capital(j) and u.capital(j - 1))


def _with_unit(u: Utterance, i: int) -> int:
    """The index where "flat 3" before the house number starts."""
    for back in (2, 3):
        if i >= back and u.words[i - back] in _UNITS and (i - back + 1 in u.number_at or back == 2):
            return i - back
    return i


def _with_city(u: Utterance, end: int) -> int:
    """Index after the apartment, the city, the state and the postcode that follow a street."""
    while u.word(end) in _UNITS:
        after = u.number_at[end + 1].end if end + 1 in u.number_at else min(end + 2, len(u.words))
        end = after + (len(u.word(after)) == 1 and u.word(after) not in ("i", "a"))
    at = end + (u.word(end) == "in")
    for j in range(at, min(at + 6, len(u.words))):
        if _is_zip(u, j):
            return u.number_at[j].end
        two = " ".join(u.words[j : j + 2]) in _STATES
        if two or _is_region(u, j):
            after = j + 1 + two
            after += after < len(u.words) and _is_region(u, after)  # "new york NY"
            return u.number_at[after].end if _is_zip(u, after) else after
        if u.words[j] in FUNCTION:
            break
    for size in (3, 2, 1):  # "twelve oak street springfield"
        if at + size <= len(u.words) and " ".join(u.words[at : at + size]) in _known():
            return at + size
    return at + 1 if at > end and u.word(at) and u.words[at] not in STOP else end


def _is_region(u: Utterance, i: int) -> bool:
    return u.words[i] in _REGIONS or u.text[slice(*u.bounds[i])] in _ABBREVIATIONS


def _is_zip(u: Utterance, i: int) -> bool:
    return i in u.number_at and len(u.number_at[i].digits) in (5, 9)


def find_cities(u: Utterance) -> Iterator[Hit]:
    """Find what follows "i live in", "i'm from", "moved to", "my hometown is": three words at most."""
    for i, word in enumerate(u.words):
        if word not in LIVES or not _CARRIER.search(" ".join(u.words[max(0, i - 5) : i + 1])):
            continue
        start = end = i + 1
        while (
            end < len(u.words)
            and end - start < 3
            and (u.words[end] not in STOP or u.words[end] == "new")
            and end not in u.number_at
        ):
            if u.words[end] in _NOT_CITY or u.words[end] in MEASURES:
                break
            end += 1
            if u.ends_phrase(end - 1) and u.text[u.bounds[end - 1][1]] != ",":
                break
        if end > start:
            yield start, end, "CITY", "city.carrier"


@cache
def _known() -> frozenset[str]:
    """Cities, towns and counties of English-speaking countries. Source: phonenumbers' areas,
    Faker's for India.
    """
    from phonenumbers.geodata import GEOCODE_DATA  # noqa: PLC0415  a third of a second; only where it is needed

    found = {
        area["en"].partition(",")[0].lower()
        for prefix, area in GEOCODE_DATA.items()
        if ("en" in area and prefix[:1] == "1") or prefix[:2] in ("44", "61", "64", "91", "27")
        if "en" in area
    }
    return frozenset(found) - STOP - _WORDS_TOO | {city.lower() for city in en_IN.Provider.cities}


def known_cities(u: Utterance) -> Iterator[Hit]:
    """Return a city of the list after "in", "from", "near" and the like, with the state after it."""
    for i, word in enumerate(u.words):
        if word not in NEAR:
            continue
        for size in (3, 2, 1):
            city = " ".join(u.words[i + 1 : i + 1 + size])
            if city in _known() and i + size < len(u.words) and (city not in COMMON or u.capital(i + 1)):
                end = i + 1 + size
                end += end < len(u.words) and _is_region(u, end)
                yield i + 1, end, "CITY", "city.known"
                break
