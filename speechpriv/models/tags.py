"""What transcripts hold beside words: transcribers' tags, and the marks that redaction leaves.

A literal list, since only a person can tell that `<SIL>` is silence and `<UNK>` is somebody
speaking. From: Switchboard and Fisher (LDC: `[laughter]`, `((guess))`, `{breath}`), Kaldi
(`<SPOKEN_NOISE>`, `<unk>`), TED-LIUM (`{uh}`, `{smack}`), GigaSpeech (`<COMMA>`, `<SIL>`,
`<OTHER>`), hub5 (`%HESITATION`), CHILDES (`xxx`), Sphinx (`++noise++`), captions and Whisper
(`[Music]`, `(laughs)`). Redaction: Presidio (`<PERSON>`), Amazon and Azure (`[NAME]`, `****`),
Google (`[PERSON_NAME]`), i2b2 and MIMIC (`[**Name 12**]`, `___`), and what people type (XXXX,
[REDACTED]).
"""

import re
from typing import Literal

Kind = Literal["silent", "untranscribed", "redacted", "unknown"]

SLOT = re.compile(r"\[[A-Z][A-Z0-9_]*\]")  # as our own scrubber writes them
# No bracket within another, so that every pattern is linear. Round ones hold words that are said,
# unless they are listed.
_BRACKETS = re.compile(
    r"\[\*\*[^\[\]]*\]|\{\{[^{}]*\}\}|\(\([^()]*\)\)|\[[^\[\]]*\]|\{[^{}]*\}|</?(?![\s\d])[^<>]*>|\([^()\[\]{}<>]*\)"
    r"|(?<![\w%])%[A-Za-z]+\b|\+\+[A-Za-z_]+\+\+|[♩♪♫♬]"
)
MARKS = re.compile(r"_{2,}|\*{3,}|\b[Xx]{3,}\b|\byyy\b")
_NUMBER = re.compile(r"[ _-]*[\d:.]+$")


def split_entries(text: str) -> frozenset[str]:
    """Return the entries of a literal, apart by commas or lines."""
    return frozenset(line.strip() for line in text.replace("\n", ",").split(",") if line.strip())


# Nobody says a word: noises, pauses, punctuation, hesitations that recognisers learn to leave out.
SILENT = split_entries("""
    noise, background noise, bkg, static, click, clicks, beep, ring, ringing, phone ringing, dtmf
    tone, hum, buzz, door slam, music, background music, music playing, upbeat music, applause
    clapping, cheering, crowd noise, typing, silence, sil, pause, long pause, short pause
    blank audio, blank, no speech, sp, nsn, non, bg, nonspeech, non speech, laughter, laugh
    laughs, laughing, chuckle, chuckles, chuckling, giggle, giggles, cough, coughs, coughing
    sneeze, sneezes, breath, breathing, breathe, breaths, inhale, inhales, exhale, exhales, sigh
    sighs, sighing, gasp, gasps, sniff, sniffs, smack, lipsmack, lip smack, lip smacking
    click of tongue, throat clearing, clears throat, throat, yawn, yawns, groan, cry, crying, sob
    sobbing, scream, vocalized noise, vocal noise, mouth noise, human noise, nonvocalized noise
    fil, uh, um, ah, er, eh, hm, hmm, mm, erm, hesitation, hes, filler, comma, period, fullstop
    full stop, questionmark, question mark, colon, exclamationpoint, exclamation point, semicolon
    dash, hyphen, ellipsis, quote, eps, epsilon, ♩, ♪, ♫, ♬
""")
_MARK_UP = split_entries("s, i, b, u, em, strong, br, p")  # between angle brackets only: "plan (b)" is said
# Somebody speaks there, and the text does not say what.
UNTRANSCRIBED = split_entries("""
    unk, unknown, oov, inaudible, indiscernible, unintelligible, unclear, indistinct
    incomprehensible, mumble, mumbles, mumbling, muffled, garbled, spoken noise, spn, crosstalk
    cross talk, overlap, overlapping, overlapping speech, overtalk, talking over each other
    background speech, background talk, background conversation, speech, speaking, talking
    chatter, foreign, foreign language, foreign word, speaking foreign language
    speaks foreign language, non english, other, guess, language, whispering, whispers, singing
    sings, lalala, untranscribed, not transcribed, missing, inaudible speech
    unintelligible speech, no transcript, xxx, yyy, ?, ??, ???
""")
# Somebody says there what the text hides. So do marks that are written like our own slots.
REDACTED = split_entries("""
    person, person name, first name, last name, full name, name, names, patient, doctor, nurse
    username, user name, profession, phone number, phone, telephone, fax, email address, email
    location, address, street address, street, city, state, country, zip, zip code, postcode
    postal code, gpe, fac, norp, nrp, organization, organisation, org, company, hospital, facility
    date time, datetime, date, time, age, dob, date of birth, birthday, url, domain name
    ip address, mac address, credit card, credit card number, credit debit number
    credit debit cvv, credit debit expiry, card, cvv, pin, password, iban, iban code, swift code
    crypto, account, account number, bank account number, bank routing, routing number, id, idnum
    id number, us ssn, ssn, us bank number, us driver license, us itin, us passport, passport
    passport number, drivers license, driver id, license plate, vehicle, vin, uk nhs, nhs
    medical license, medical record, mrn, bioid, health plan, number, pii, phi, deid
    de identified, deidentified, redacted, redaction, removed, anonymized, anonymised, masked
    censored, hidden, bleep, expletive, expletive deleted, profanity, sensitive, private
    confidential
""")


def find_tags(text: str) -> list[tuple[int, int, Kind]]:
    """Find where there are tags, as characters [start, end), in order, and what they stand for.

    `silent`: no word. `untranscribed`: speech that is not in the text. `redacted`: speech that the
    text hides. `unknown`: angle, square or curly brackets with something else in them. Linear in
    the text.
    """
    kinds = ((*match.span(), _kind(match[0])) for match in _BRACKETS.finditer(text))
    return [(start, end, kind) for start, end, kind in kinds if kind is not None]


def list_kinds(text: str) -> set[Kind]:
    """List the kinds of all tags, and of marks without brackets, in a transcript as it was found."""
    found: set[Kind] = {kind for *_, kind in find_tags(text)}
    for mark in MARKS.findall(text):
        found.add("untranscribed" if mark[0] in "xy" else "redacted")
    return found


def _kind(tag: str) -> Kind | None:
    """What a tag stands for; None: it is none."""
    if tag.startswith(("[**", "{{")):
        return "redacted"
    body = " ".join(re.sub(r"[_-]+", " ", tag.strip("[](){}<>+%*")).lower().split())
    body = body if body in SILENT else _NUMBER.sub("", body)
    if body in SILENT or (tag[0] == "<" and body.strip("/ ") in _MARK_UP):
        return "silent"
    if tag.startswith("((") or body in UNTRANSCRIBED:  # ((guess)): the transcriber is not sure of it
        return "untranscribed"
    if SLOT.fullmatch(tag) or (body in REDACTED and not tag.startswith("%")):
        return "redacted"
    return "unknown" if tag[0] in "[{<%+" else None
