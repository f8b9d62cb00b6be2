"""Personal data in a transcript, spoken ("double seven oh", "at gmail dot com") or written, in any case.

A rule reads the words of the utterance and yields word ranges; `find` joins what overlaps. Evidence is a carrier
phrase before or after ("my account number is"), a checksum, or a shape that commands do not have (seven digits said
one by one). With such evidence, a rule that doubts where the data ends covers a word too many, not one too few.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, get_args

from faker.providers.person import en_GB, en_IN, en_US

from speechpriv.errors import ConfigError
from speechpriv.scrub.numbers import MEASURES, Hit, NumberSpan, identifiers, spans, word_set

Profile = Literal["default"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data at text[start:end], always whole words; `rule` names what fired, for the private evidence."""

    start: int
    end: int
    kind: str
    rule: str


class _Utterance(NamedTuple):
    text: str
    words: list[str]  # lower case, without edge punctuation
    bounds: list[tuple[int, int]]  # characters of each word
    numbers: list[NumberSpan]


_EDGE = r".,;:!?\"'()\[\]{}<>«»“”‘’…¿¡–—-"
_WORD = re.compile(rf"[^\s{_EDGE}](?:\S*[^\s{_EDGE}])?")

# Words that are no part of a name, a mailbox or a host: what carries those, and what stands around them.
_STOP = word_set(
    "a an the this that these those my your his her its our their i i'm i'd i'll i've you you're he she it it's we "
    "we're they me him us them who what when where which why how is are was were be been am do does did don't has have "
    "had can can't could will would shall should may might must not no yes yeah ok okay please thanks thank hello hi "
    "hey and or but if so because as at by for from in into of off on onto out over to up down with without about "
    "after again before now then than too very just also here there today tomorrow tonight yesterday morning afternoon "
    "evening later back call calling called text texting message email e-mail mail send sent contact write reach reply "
    "forward speak speaking talk phone number account address website site page web url link go open "
    "visit visiting browse navigate launch check see find search look looking get use using try type enter spell "
    "spelled spelt need want like live name names date born new old every sorry echo sign add change set tell ask "
    "saying said wrong right correct missing hard required mandatory taken unknown invalid"
)
_CONNECTORS = word_set("dot underscore dash hyphen plus period")
_TLDS = word_set("com org net edu gov mil io co uk info biz de fr es it eu ca au nz ie ai dev nhs ac me")
# Hosts that everybody visits say nothing about a person.
_PUBLIC = word_set(
    "google youtube amazon facebook twitter instagram netflix spotify wikipedia reddit ebay bbc cnn apple microsoft "
    "walmart"
)
_MONTHS = word_set(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec"
)
_QUESTIONS = word_set("who who's when where was were what which how is")
_STREETS = word_set("street st road rd avenue ave lane ln boulevard blvd crescent parkway highway hwy mews")
_STREETS_OF_HOMES = word_set(
    "drive dr way court ct place pl close terrace square sq gardens grove row circle walk park hill trail"
)
_HOME = word_set(
    "live lives lived living address home house deliver delivered delivery ship send sent located directions navigate "
    "moved moving reside resides staying stay"
)
_MEDIA = word_set("play playing watch watching listen stream shuffle queue song songs album movie film lyrics")
_BIRTHS = word_set("birth birthday birthdate dob d.o.b born")
_ORDINALS = ("first", "second", "third", "th")  # as endings
_WRITTEN_DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}(?:st|nd|rd|th)$")
_HOUSE = re.compile(r"[0-9]{1,5}[a-z]")
_RESIDES = word_set("live lives lived living reside resides address")

# How strongly a word, or two, announce a name.
_ANNOUNCED = {
    "strong": "name+is name's surname+is name+was am+called",
    "title": "mr mrs mister missus dr",
    "doctor": "doctor professor prof",
    "role": "nurse captain sergeant officer miss ms coach uncle aunt auntie friend brother sister wife husband mom mum "
    "mother dad father son daughter boss colleague neighbour neighbor cousin girlfriend boyfriend partner client "
    "customer patient roommate nephew niece grandma grandpa",
    "verb": "call text message phone ring email facetime skype whatsapp tell ask remind invite dial ping call+me "
    "call+back call+up ring+up",
    "mild": "with it's i'm meet met called hi hello hey dear thanks give send this+is i+am text+to message+to "
    "email+to mail+to send+to write+to speak+to talk+to message+from text+from call+from email+from calls+from "
    "messages+from texts+from out+to pick+up drop+off pay",
    "weak": "to for from add",
}
_STRENGTHS = {word.replace("+", " "): strength for strength, words in _ANNOUNCED.items() for word in words.split()}
_PERSONS = ("doctor", "role")
_DETERMINERS = word_set("a the my your his her our their this that each every last next new missed cell mobile pay")
# Names that are also words: believed beside another name, after "my name is", capitalised, or where a phrase ends.
_COMMON = word_set(
    "alexa amber angel april art august autumn baker ball banks barber bass bath beard bean bell berry best bill birch "
    "bird bishop black bond booth branch bridges bright brooks brown buck bull burns bush butcher butler cannon "
    "carpenter case chad chambers charity chase cherry christian church clay colon combs comfort cook cooper costa "
    "crane cross crystal curry dale dash date dawn day dean deep destiny diamond doctor drew duke earl ebony english "
    "eta faith farmer field fields finch fisher flood flowers foot ford forum foster fox frank freeman french frost "
    "fry gamble gates gay gene georgia glass golden good grace grant graves gray green gross guard guy hale hall hardy "
    "harsh hart hazel heath heather hill ho holder holly hood hope horn house houston hull hunt hunter jade jarvis jay "
    "jean jesus joy june key king knight lad lamb lance lane law le li little long lord love lowe loyal mall mark "
    "marks marsh mason master max may mayo meadows melody mercedes mercer merchant miles miller mills misty moon more "
    "moss noble norm north oak page pal park parks patty peacock penny petty pierce pitts pope porter potter power "
    "powers price prince ram raven ray read rice rich riddle rivers roach robin roman rose rush sandy savage sellers "
    "sharp shepherd shields short sierra skinner slater small smart snow sparks spears stark stone storey strong sue "
    "summer summers swift sydney tailor tank tanner valentine victor virginia walker wall walls ware warner warrior "
    "washington waters watts way weaver weeks wells west white whitehouse will winter winters wise wolf wood woods "
    "york young bail char contractor das de dev din gala garde lucky mane om sane sen sha sur doe rosemary sherry "
    "brandy"
)
# Of these, the ones that seldom are a surname even right after a first name ("tell anna good night").
_LOOSE = word_set(
    "may will long little good best read day short small love more way date power price page case house mark"
)
# What may follow a name of that sort if a name was meant.
_SETTLES = word_set(
    "i i'm we and on at about back now please that to tomorrow today tonight later again if when for from saying "
    "asking here speaking calling whether"
)


def find(text: str, profile: Profile = "default") -> list[Finding]:
    """Find personal data in a transcript.

    Args:
      text: any string; spoken forms, written forms, mixed case or none.
      profile: which kinds are looked for; "default" is the one there is.

    Returns:
      Sorted, non-overlapping findings over whole words (edge punctuation left out). Time is linear in the text.

    Raises:
      ConfigError: the profile is unknown.
    """
    if profile not in get_args(Profile):
        raise ConfigError(f"scrub.profile: got {profile!r}: expected one of {', '.join(get_args(Profile))}.")
    matches = list(_WORD.finditer(text))
    words = [match[0].lower().replace("’", "'") for match in matches]
    u = _Utterance(text, words, [match.span() for match in matches], spans(words))
    # In order of rank: where rules overlap, the first gives the kind.
    rules = (_emails(u), _urls(u), _births(u), _addresses(u), identifiers(words, u.numbers), _people(u))
    hits = [(*hit[:2], rank, *hit[2:]) for rank, rule in enumerate(rules) for hit in rule]
    findings: list[Finding] = []
    for start, end, _, kind, rule in _merged(sorted(hits)):
        first, last = u.bounds[start][0], u.bounds[end - 1][1]
        opens = text[first - 1 : first] == "(" and ")" in text[first:last]  # the parenthesis of (415) 555-2671
        findings.append(Finding(first - opens, last, kind, rule))
    return findings


def word_indices(text: str, findings: Sequence[Finding]) -> list[tuple[int, int, str]]:
    """The words of `text.split()` that each finding covers, as (start, end, kind) with `end` exclusive.

    The same indices are cut from the audio, so a word that is touched anywhere counts as covered.
    """
    words = [match.span() for match in re.finditer(r"\S+", text)]
    starts, ends = [start for start, _ in words], [end for _, end in words]
    return [(bisect_right(ends, f.start), bisect_left(starts, f.end), f.kind) for f in findings]


def mask(text: str, findings: Sequence[Finding]) -> str:
    """`text` with each finding (sorted, not overlapping) replaced by [KIND] and all else byte for byte."""
    pieces, at = [], 0
    for finding in findings:
        pieces += [text[at : finding.start], f"[{finding.kind}]"]
        at = finding.end
    return "".join([*pieces, text[at:]])


def _merged(hits: list[tuple[int, int, int, str, str]]) -> list[tuple[int, int, int, str, str]]:
    """Hits that share words become one, under the kind of the rule that ranks first."""
    merged: list[tuple[int, int, int, str, str]] = []
    for hit in hits:
        if merged and hit[0] < merged[-1][1]:
            last = merged[-1]
            merged[-1] = (last[0], max(last[1], hit[1]), *min(last[2:], hit[2:]))
        else:
            merged.append(hit)
    return merged


def _emails(u: _Utterance) -> Iterator[Hit]:
    """A mailbox, "at", and a host; "at amazon dot com" is a shop unless someone's mailbox stands before it."""
    for i, word in enumerate(u.words):
        if word in ("at", "@"):
            end = _host_end(u.words, i + 1 + (u.words[i + 1 : i + 2] == ["sign"]))
            start = i
            while end and i - start < 12 and start and _in_mailbox(u.words, start - 1):
                start -= 1
            named = not _CONNECTORS.isdisjoint(u.words[start:i])
            if start < i and (named or u.words[i + 1].partition(".")[0] not in _PUBLIC):
                yield start, end, "EMAIL", "email.spoken"
        elif "@" in word:
            mailbox, _, host = word.partition("@")
            if mailbox and "." in host.strip("."):
                yield i, i + 1, "EMAIL", "email.written"


def _in_mailbox(words: list[str], i: int) -> bool:
    return words[i] not in _STOP or words[i + 1] in _CONNECTORS or (i > 0 and words[i - 1] in _CONNECTORS)


def _urls(u: _Utterance) -> Iterator[Hit]:
    for i, word in enumerate(u.words):
        if word == "dot" and i and not (i > 1 and u.words[i - 2] == "dot"):
            end = _host_end(u.words, i - 1)
            if not end or (u.words[i - 1] in _PUBLIC and u.words[end : end + 1] != ["slash"]):
                continue
            start = i - 1
            while start and i - start < 3 and u.words[start - 1] not in _STOP:
                start -= 1
            while u.words[end : end + 1] == ["slash"] and end + 1 < len(u.words):
                end += 2
            yield start, end, "URL", "url.spoken"
        elif "://" in word or word.startswith("www."):
            yield i, i + 1, "URL", "url.written"
        elif "." in word and "@" not in word:
            host, _, path = word.partition("/")
            if _is_host(host) and (path or host.rpartition(".")[0] not in _PUBLIC):
                yield i, i + 1, "URL", "url.written"


def _is_host(word: str) -> bool:
    labels = word.split(".")
    return len(labels) > 1 and all(labels) and labels[-1] in _TLDS


def _host_end(words: list[str], i: int) -> int:
    """Index after the host that starts at word i, "example dot co dot uk" or "example.com"; 0 where there is none."""
    if i < len(words) and _is_host(words[i]):
        return i + 1
    j = i + (words[i + 1 : i + 2] == ["dot"] and words[i] not in _DETERMINERS)  # "live dot com", not "the dot com"
    while j < len(words) and j - i < 4 and words[j] != "dot" and (words[j] not in _STOP or words[j] == "my"):
        j += 1
    end = 0
    while i < j < len(words) - 1 and words[j] == "dot" and words[j + 1] != "at":
        j += 2
        end = j if words[j - 1] in _TLDS else end
    return end


def _births(u: _Utterance) -> Iterator[Hit]:
    """A date after "date of birth is", "born on" or "birthday is"; questions about the famous are let go."""
    if _BIRTHS.isdisjoint(u.words):
        return
    spoken = {span.start: span for span in u.numbers}
    for i, carrier in enumerate(u.words):
        if carrier not in _BIRTHS or (carrier == "born" and u.words[0] in _QUESTIONS):
            continue
        at = i + 1
        while at < min(len(u.words), i + 4) and u.words[at] in ("is", "was", "on", "in", "the", "it's"):
            at += 1
        start = end = at
        digits, dated = 0, False
        while at < min(len(u.words), start + 12):
            word = u.words[at]
            if at in spoken:
                digits += len(spoken[at].digits)
                at = end = spoken[at].end
                continue
            month = word in _MONTHS or bool(_WRITTEN_DATE.match(word))
            if not (month or word.endswith(_ORDINALS) or word in ("of", "the", "and", "slash", "dash")):
                break
            at += 1
            dated |= month
            end = at if month or word.endswith(_ORDINALS) else end
        if (dated or digits >= 4) and MEASURES.isdisjoint(u.words[end : end + 1]):
            yield start, end, "DATE_OF_BIRTH", "birth.carrier"


def _addresses(u: _Utterance) -> Iterator[Hit]:
    """A house number and a street; a street alone only after "live on" or "address is"."""
    if _STREETS.isdisjoint(u.words) and _STREETS_OF_HOMES.isdisjoint(u.words):
        return
    spoken = {span.start: span for span in u.numbers}
    for i, word in enumerate(u.words):
        before = u.words[max(0, i - 4) : i]
        home = not _HOME.isdisjoint(before)
        reach = 4 if home else int("at" in before or "to" in before)
        if i in spoken and len(spoken[i].digits) <= 5:
            first = spoken[i].end
        elif _HOUSE.fullmatch(word):
            first = i + 1
        elif i and u.words[i - 1] in ("on", "in", "at", "is") and not _RESIDES.isdisjoint(before):
            first = i
        else:
            continue
        end = _street_end(u.words, first, reach)
        if end and (reach or _MEDIA.isdisjoint(u.words[max(0, i - 12) : i])):
            if end < len(u.words) and u.words[end] in ("apartment", "apt", "flat", "unit"):
                end = spoken[end + 1].end if end + 1 in spoken else min(end + 2, len(u.words))
            for at in range(end, end + 5):  # city and state, where a zip code closes them
                if at in spoken and len(spoken[at].digits) in (5, 9):
                    end = spoken[at].end
                    break
            yield i, end, "ADDRESS", "address.street"


def _street_end(words: list[str], first: int, reach: int) -> int:
    """Index after "martin luther king street" at word `first`, 0 for none; after `reach` words a drive is a street."""
    for j in range(first, min(first + 5, len(words))):
        word = words[j]
        if j > first and (word in _STREETS or (word in _STREETS_OF_HOMES and j - first <= reach)):
            return j + 1
        if word in _STOP or word in MEASURES:
            return 0
    return 0


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    """First names, and all names, of Faker's English lists and of the words that are names too."""
    providers = (en_US.Provider, en_GB.Provider, en_IN.Provider)
    first = frozenset(name.lower() for provider in providers for name in provider.first_names) | {"will", "may"}
    last = frozenset(name.lower() for provider in providers for name in provider.last_names)
    return first, (first | last | _COMMON) - frozenset(_STRENGTHS)


def _people(u: _Utterance) -> Iterator[Hit]:
    media = False
    end, last, before = 0, "", ""
    for i, word in enumerate(u.words[:-1]):
        media = media or word in _MEDIA
        strength = _STRENGTHS.get(f"{before} {word}") or _STRENGTHS.get(word)
        if word == "and" and i == end:  # "call anna and mark"
            strength = last
        noun = strength == "verb" and before in _DETERMINERS  # "pay my phone bill"
        before = word
        if not strength or noun or (media and strength not in ("strong", "verb")):
            continue
        after = _name_end(u, i + 1, strength)
        if after:
            yield i + 1, after, "NAME", f"name.{strength}"
            end, last = after, strength


def _name_end(u: _Utterance, i: int, strength: str) -> int:
    """Index after the name that starts at word i, 0 if what the carrier announced is no name."""
    first, known = _names()
    word = _bare(u.words[i])
    sure = strength in ("strong", "title")
    if word not in known:
        begins = word not in _STOP and word[0].isalpha() and (sure or (strength in _PERSONS and _capital(u, i)))
    elif word in _COMMON:
        after = _bare(u.words[i + 1]) if i + 1 < len(u.words) and not _ends_phrase(u, i) else ""
        beside = after in known and (after not in _COMMON or (word in first and _goes_on(u, i + 1, sure=sure)))
        called = strength in (*_PERSONS, "verb") and word in first and _settled(u, i)
        begins = beside or called or _capital(u, i) or (sure and word not in ("may", "will"))
        begins = begins or (sure and _settled(u, i)) or (strength == "doctor" and word not in _LOOSE)
    else:
        begins = True
    end = i + 1
    while begins and end < min(len(u.words), i + 4) and not _ends_phrase(u, end - 1):
        word_after = u.words[end]
        surname = strength == "strong" and end == i + 1 and word_after not in _STOP and not spans([word_after])
        initial = len(word_after) == 1 and end + 1 < len(u.words) and _goes_on(u, end + 1, sure=sure)
        if not (surname or initial or _goes_on(u, end, sure=sure)):
            break
        end += 1
    if strength == "weak" and (word not in first or end == i + 1):
        return 0
    return end if begins else 0


def _goes_on(u: _Utterance, i: int, *, sure: bool) -> bool:
    """Whether word i continues a name."""
    word = _bare(u.words[i])
    if word not in _LOOSE:
        return word in _names()[1] or (word not in _STOP and _capital(u, i) and _capital(u, i - 1))
    return _settled(u, i) or _capital(u, i) or (sure and word not in _STOP)


def _bare(word: str) -> str:
    """Without a possessive ending; of a double name, the first."""
    return word.removesuffix("'s").partition("-")[0]


def _settled(u: _Utterance, i: int) -> bool:
    return i + 1 == len(u.words) or u.words[i + 1] in _SETTLES or _ends_phrase(u, i)


def _ends_phrase(u: _Utterance, i: int) -> bool:
    end = u.bounds[i][1]
    return u.text[end : end + 1] in (",", ";", ":", "!", "?") or (u.text[end : end + 1] == "." and i > 0)


def _capital(u: _Utterance, i: int) -> bool:
    """Whether word i is capitalised where a word that is no name would not be."""
    start, end = u.bounds[i]
    others = (u.text[first].islower() for first, _ in u.bounds[max(0, i - 2) : i + 3])
    return u.text[start].isupper() and not u.text[start:end].isupper() and (i == 1 or any(others))
