"""Names of people: what a carrier phrase announces ("my name is", "call", "doctor"), held against
lists of names.
"""

from collections.abc import Iterator

from speechpriv.scrub.common_names import COMMON, LOOSE, list_names
from speechpriv.scrub.numbers import find_numbers
from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import DETERMINERS, HESITATIONS, MEASURES, MEDIA, QUESTIONS, ROLES, STOP, word_set

# How strongly a word, or two, announce a name.
_ANNOUNCED = {
    "strong": (
        "name+is name's surname+is name+was am+called named surname's she's+called he's+called is+called goes+by "
        "patient+name full+name first+name last+name contact+name guest+name caller+name"
    ),
    "title": "mr mrs mister missus dr mx sir",
    "doctor": "doctor professor prof",
    "role": " ".join(ROLES),
    "verb": (
        "call text message phone ring email facetime skype whatsapp tell ask remind invite dial ping notify contact "
        "call+me call+back call+up ring+up page"
    ),
    "mild": (
        "let spoke+to spoken+to spoke+with with it's i'm meet met called hi hello hey dear thanks give send this+is "
        "i+am text+to message+to email+to mail+to send+to write+to speak+to talk+to message+from text+from "
        "call+from email+from calls+from messages+from texts+from out+to pick+up drop+off pay for+ms regards "
        "sincerely love+from signed+by signed cc is+under name+of behalf+of me+to through+to calls+with call+with "
        "out+to holder+is attention care+of location+with doctor+is boss+is wife+is husband+is mother+is father+is "
        "manager+is teacher+is friend+is brother+is sister+is son+is daughter+is dentist+is therapist+is lawyer+is "
        "contact+is landlord+is my+name under patient+is happy+birthday morning afternoon evening bye goodbye "
        "reached ask+for asking+for looking+for congratulations married+to voicemail+from letter+to letter+from "
        "birthday+to appointment+for flowers+to cheers visit visiting introduce belongs+to wish "
        "dictation+on note+on note+about report+on letter+about"
    ),
    "weak": "to for from add and",
}
_STRENGTHS = {
    word.replace("+", " "): strength for strength, words in reversed(_ANNOUNCED.items()) for word in words.split()
}
_KNOWN_BY = ("doctor", "role")
# What may follow a name of that sort if a name was meant.
_SETTLES = word_set(
    "i i'm we and on at about back now please that to tomorrow today tonight later again if when for from saying "
    "asking here speaking calling whether in is he she they who's um this happy"
)


_SPEAKS = word_set("speaking here calling")
_IN_RECORDS = ("date of", "medical record", "chart number", "hospital number", "year old", "years old")
_OPENS = word_set("hi hello hey morning afternoon evening yes this is it's and ok okay hiya yeah")
_WHEREABOUTS = word_set(
    "call text say leave reply write arrive there in available home around free coming busy ready at back here online "
    "awake out"
)
_BELONGINGS = word_set(
    "number phone mobile cell birthday house address email place office wedding party room car wife husband flight "
    "contact"
)


# These are played too, and are no music.
_MESSAGES = word_set("message messages voicemail voicemails text texts email emails")


def find_people(u: Utterance) -> Iterator[Hit]:
    """Find names after what announces them; in a request to play something only the strong
    announcements count.
    """
    media = False
    end, last, before = 0, "", ""
    for i, word in enumerate(u.words[:-1]):
        media = media or (word in MEDIA and _MESSAGES.isdisjoint(u.vocabulary))
        strength = _STRENGTHS.get(f"{before} {word}") or _STRENGTHS.get(word)
        if word in ("and", "or") and i == end and last:  # "call anna and mark"
            strength = last
        elif word == "and":
            strength = None
        noun = strength == "verb" and before in DETERMINERS  # "pay my phone bill"
        before = word
        if not strength or noun or (media and strength not in ("strong", "verb")):
            continue
        start = i + 1 + (u.words[i + 1] in HESITATIONS and i + 2 < len(u.words))
        after = _name_end(u, start, strength)
        if after:
            yield start, after, "NAME", f"name.{strength}"
            end, last = after, strength


def people_before(u: Utterance) -> Iterator[Hit]:
    """Return names before what tells them: "anna smith speaking", "anna smith medical record", "is
    anna in".
    """
    first, known = list_names()
    for i, word in enumerate(u.words):
        speaks = word in _SPEAKS and (word != "here" or i < 4)
        if i and (speaks or f"{word} {u.word(i + 1)}" in _IN_RECORDS):
            start = i
            while start and i - start < 3 and _bare(u.words[start - 1]) in known:
                start -= 1
            opens = start == 0 or u.words[start - 1] in _OPENS or not speaks
            if start < i and opens and u.words[start] in first and (u.words[start] not in COMMON or i - start > 1):
                yield start, i, "NAME", "name.speaking" if speaks else "name.record"
        elif (
            word in ("is", "did")
            and u.word(i - 1) not in QUESTIONS
            and u.word(i + 1) in first
            and u.words[i + 1] not in COMMON
        ):
            end = i + 2
            while end < i + 4 and u.word(end) in known and u.words[end] not in LOOSE:
                end += 1
            if u.word(end) in _WHEREABOUTS:
                yield i + 1, end, "NAME", "name.whereabouts"
        elif word.endswith("'s") and u.word(i + 1) in _BELONGINGS and word != "mother's":
            start = i - (_bare(u.word(i - 1)) in first)
            if u.words[start] in first or (
                _bare(word) in first and (_bare(word) not in COMMON or u.word(i - 1) not in DETERMINERS)
            ):
                yield start, i + 1, "NAME", "name.owner"


def _name_end(u: Utterance, i: int, strength: str) -> int:
    """Index after the name that starts at word i, 0 if what the carrier announced is no name."""
    first, known = list_names()
    word = _bare(u.words[i])
    sure = strength in ("strong", "title")
    if word in _STRENGTHS and not u.capital(i):
        return 0
    if word not in known:
        begins = word not in STOP and word[0].isalpha() and (sure or _capital_name(u, i, strength))
    elif word in COMMON:
        after = _bare(u.words[i + 1]) if i + 1 < len(u.words) and not u.ends_phrase(i) else ""
        beside = after in known and (after not in COMMON or _pair(u, i, strength))
        called = strength in (*_KNOWN_BY, "verb") and word in first and (_settled(u, i) or _rang(u, i))
        begins = beside or called or u.capital(i) or (sure and word not in ("may", "will"))
        begins = begins or (sure and _settled(u, i)) or (strength == "doctor" and word not in LOOSE)
    else:
        begins = True
    end = i + 1
    while begins and end < min(len(u.words), i + 4) and not u.ends_phrase(end - 1):
        word_after = u.words[end]
        open_end = strength == "strong" or (word not in known and u.capital(end)) or _introduced(u, i)
        surname = open_end and end == i + 1 and word_after not in STOP and not find_numbers([word_after])
        initial = (
            len(word_after) == 1
            and word_after not in ("a", "i")
            and end + 1 < len(u.words)
            and _goes_on(u, end + 1, sure=sure)
        )
        surname = surname or (end == i + 1 and strength != "weak" and word in first and _rang(u, i))
        if not (surname or initial or _goes_on(u, end, sure=sure)):
            break
        end += 1
    if strength == "weak" and (word not in first or end == i + 1):
        return 0
    return end if begins else 0


_CLINIC = word_set("office appointment visit visits near nearby strange who")


def _capital_name(u: Utterance, i: int, strength: str) -> bool:
    """Whether an unknown word is a name by its capital letter, after a role or a verb that takes a
    person.
    """
    if not u.capital(i):
        seen = strength == "doctor" and u.word(i - 2) not in DETERMINERS and u.words[i] not in _CLINIC
        return (seen and _settled(u, i)) or _introduced(u, i)
    return strength in (*_KNOWN_BY, "verb") or (
        strength == "mild"
        and not u.ends_phrase(i)
        and u.word(i + 1) not in STOP
        and i + 1 < len(u.words)
        and u.capital(i + 1)
    )


# After these comes a name and nothing else: a word that is on no list and ends the request is a
# surname.
_TAKE_A_NAME = word_set("call ring phone dial facetime skype with to from by meet")


def _rang(u: Utterance, i: int) -> bool:
    """Whether word i is called and the next, on no list, ends the request as a surname does: "call
    grace hopper".
    """
    after = u.word(i + 1)
    return (
        u.word(i - 1) in _TAKE_A_NAME
        and _bare(u.words[i]) not in LOOSE
        and bool(after)
        and after not in STOP
        and not u.ends_phrase(i)
        and i + 1 not in u.number_at
        and _settled(u, i + 1)
    )


def _introduced(u: Utterance, i: int) -> bool:
    """Whether somebody says who is speaking: "this is zebirce calling", "i'm enfes heinonen from
    the office".
    """
    if u.word(i - 1) not in ("is", "i'm", "am", "it's") or u.before(i, 2) == ["what", "is"]:
        return False
    one, two, three = u.words[i], u.word(i + 1), u.word(i + 2)
    return (two in ("calling", "speaking") and one not in STOP) or (
        two not in STOP and three in ("calling", "speaking", "from", "here") and two not in MEASURES
    )


def _pair(u: Utterance, i: int, strength: str) -> bool:
    """Whether words i and i + 1, both words too, are a whole name: "call fields combs", "text rose
    king".
    """
    word, after = _bare(u.words[i]), _bare(u.words[i + 1])
    if word in list_names()[0]:
        return _goes_on(u, i + 1, sure=strength in ("strong", "title"))
    return strength not in ("mild", "weak") and word not in LOOSE and after not in LOOSE and _settled(u, i + 1)


def _goes_on(u: Utterance, i: int, *, sure: bool) -> bool:
    """Whether word i continues a name."""
    word = _bare(u.words[i])
    if word not in LOOSE:
        return word in list_names()[1] or (word not in STOP and u.capital(i) and u.capital(i - 1))
    return _settled(u, i) or u.capital(i) or (sure and word not in STOP)


def _bare(word: str) -> str:
    """Without a possessive ending; of a double name, the first."""
    return word.removesuffix("'s").partition("-")[0]


def _settled(u: Utterance, i: int) -> bool:
    return i + 1 == len(u.words) or u.words[i + 1] in _SETTLES or u.ends_phrase(i)


def people_anywhere(u: Utterance) -> Iterator[Hit]:
    """Return a first name that is no other word, alone or with a surname, and a known surname
    beside a capital.
    """
    first, known = list_names()
    at = 0
    while at < len(u.words):
        word, end = _bare(u.words[at]), at + 1
        if word in first and (word not in COMMON or u.capital(at)):
            while (
                end < min(len(u.words), at + 3)
                and not u.ends_phrase(end - 1)
                and _bare(u.words[end]) in known
                and u.words[end] not in LOOSE
            ):
                end += 1
            yield at, end, "NAME", "name.anywhere"
        at = end
