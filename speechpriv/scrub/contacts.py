"""Where a person is found on the net: e-mail, web and network addresses, and user names; spoken or
written.
"""

import re
from collections.abc import Iterator

from speechpriv.scrub.utterance import Hit, Utterance
from speechpriv.scrub.words import DETERMINERS, HESITATIONS, QUESTIONS, STOP, word_set

AT = word_set("at @")
DOT = word_set("dot")
SEPARATORS = word_set("colon dash hyphen dot point period")
_CONNECTORS = word_set("dot underscore dash hyphen plus period")
# Top-level domains: the generic ones that people use, and those of countries.
_TLDS = word_set(
    "com org net edu gov mil int io co uk info biz name pro app dev ai xyz online site shop store tech blog cloud "
    "email nhs ac sch de fr es it eu ca au nz ie me us in be nl se no dk fi pl pt ch at cz gr ro hu ru ua tr il za ng "
    "ke gh eg br mx ar cl pe jp cn hk tw kr sg my th vn ph id pk bd lk ae sa tv cc ly to fm gg live club space "
    "website studio art design agency media photography world life family team group"
)
# The endings that are words too stand for a host only beside other evidence.
_WORDY = word_set(
    "art design media world life family team group in it is be at me to no us my so live space name store shop online "
    "site email club pro"
)
# Hosts that everybody visits say nothing about a person.
_PUBLIC = word_set(
    "google youtube amazon facebook twitter instagram netflix spotify wikipedia reddit ebay bbc cnn apple microsoft "
    "walmart"
)
_MAIL_HOSTS = word_set(
    "gmail yahoo hotmail outlook icloud aol protonmail proton googlemail msn live comcast btinternet verizon mail "
    "yandex gmx fastmail zoho"
)
_MAIL = word_set("email e-mail mail address gmail")
_NETWORKS = (
    "twitter|instagram|insta|tiktok|snapchat|snap|skype|discord|github|reddit|twitch|telegram|facebook|linkedin|xbox|"
    "playstation|psn|steam|gamer|venmo|cash ?app|paypal|slack|wechat|youtube|spotify|netflix|wifi|mastodon|signal|login"
)
_USER = re.compile(
    r"(?:^| )(?:(?:user ?(?:name|id)|screen ?name|gamer ?tag|login(?: name| id)?|log in name|handle|user)"
    r"(?: (?:for|on) (?:my |the )?[a-z]+)?|"
    rf"(?:{_NETWORKS}) (?:handle|name|id|account|username|tag)|"
    rf"(?:my|his|her|their) (?:{_NETWORKS}))(?: (?:is|was|to|it's|as|um|uh)|'s){{1,3}}$|"
    rf"(?:^| )(?:(?:log|logged|sign|signed) in|i'm on (?:{_NETWORKS})) (?:as|under)$"
)
_FOLLOW = re.compile(
    rf"(?:^| )(?:follow|add|find|dm|message|friend) (?:me|him|her|us) on (?:{_NETWORKS})(?: (?:at|as|i'm|under|it's))+$"
)
USER_WORDS = word_set("username user name handle gamertag tag login id screenname log logged sign signed") | frozenset(
    name for name in _NETWORKS.replace(" ?", "").split("|")
)
_BARE = word_set("username gamertag screenname handle")
_NOT_USER = word_set("on not off working down broken locked blocked fine great full open closed slow missing and empty")
_OCTET = re.compile(r"25[0-5]|2[0-4][0-9]|1?[0-9]{1,2}")
_IP4 = re.compile(rf"(?:(?:{_OCTET.pattern})\.){{3}}(?:{_OCTET.pattern})(?:/[0-9]{{1,2}}|:[0-9]{{1,5}})?")
_IP6 = re.compile(r"(?=.*[0-9a-f])(?=(?:[^:]*:){2})[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:/[0-9]{1,3})?")
_MAC = re.compile(r"[0-9a-f]{2}(?P<sep>[:-])(?:[0-9a-f]{2}(?P=sep)){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}")


def find_emails(u: Utterance) -> Iterator[Hit]:
    """Find a mailbox, "at", and a host; "at amazon dot com" is a shop unless someone's mailbox
    stands before it.
    """
    for i, word in enumerate(u.words):
        if word in ("at", "@") and i:
            end = _host_end(u.words, i + 1 + (u.word(i + 1) == "sign"))
            asked = not _MAIL.isdisjoint(u.before(i, 8))
            if not end and asked and u.word(i + 1) in _MAIL_HOSTS:
                end = i + 2  # "my email is john smith at gmail"
            start = i
            while end and i - start < 14 and start and _in_mailbox(u.words, start - 1):
                start -= 1
            named = not _CONNECTORS.isdisjoint(u.words[start:i])
            if start < i and (named or asked or u.words[i + 1].partition(".")[0] not in _PUBLIC):
                yield start, end, "EMAIL", "email.spoken"
        elif "@" in word:
            mailbox, _, host = word.partition("@")
            if mailbox and "." in host.strip("."):
                yield i, i + 1, "EMAIL", "email.written"


def _in_mailbox(words: list[str], i: int) -> bool:
    if words[i] in HESITATIONS:
        return False
    return (
        words[i].removesuffix("'s") not in STOP
        or words[i + 1] in _CONNECTORS
        or (i > 0 and words[i - 1] in _CONNECTORS)
    )


def find_urls(u: Utterance) -> Iterator[Hit]:
    """Find hosts, with the path after "slash"; the hosts that everybody visits are let go unless a
    path follows.
    """
    for i, word in enumerate(u.words):
        if word == "dot" and i and not (i > 1 and u.words[i - 2] == "dot"):
            end = _host_end(u.words, i - 1)
            public = u.words[i - 1] in _PUBLIC and u.word(end) != "slash"
            # "the red dot in the corner"
            words = end == i + 2 < len(u.words) and u.words[i + 1] in _WORDY and u.words[end] != "slash"
            if end and not public and not words:
                yield _url_start(u.words, i - 1), _path_end(u.words, end), "URL", "url.spoken"
        elif "://" in word or word.startswith("www."):
            yield i, i + 1, "URL", "url.written"
        elif "." in word:
            host, _, path = word.partition("/")
            if _is_host(host) and (path or host.rpartition(".")[0] not in _PUBLIC):
                yield i, i + 1, "URL", "url.written"


def _url_start(words: list[str], label: int) -> int:
    """Where the host starts whose label before the first "dot" is known: up to two words before, or
    at "www dot".
    """
    start = label
    while start and label - start < 2 and words[start - 1] not in STOP and words[start - 1] not in _CONNECTORS:
        start -= 1
    for back in range(start - 2, max(-1, start - 5), -1):
        if words[back : back + 2] == ["www", "dot"]:
            return back
    return start - 2 if start > 1 and words[start - 1] in ("dash", "hyphen", "underscore") else start


def _path_end(words: list[str], end: int) -> int:
    while end + 1 < len(words) and words[end] in ("slash", "dash", "underscore"):
        end += 2
    return end


def _is_host(word: str) -> bool:
    if "@" in word:
        return False
    labels = word.split(".")
    return len(labels) > 1 and all(labels) and labels[-1] in _TLDS and not labels[0].isdigit()


def _host_end(words: list[str], i: int) -> int:
    """Index after the host that starts at word i, "example dot co dot uk" or "example.com"; 0 where
    there is none.
    """
    if i < len(words) and _is_host(words[i]):
        return i + 1
    j = i + (words[i + 1 : i + 2] == ["dot"] and words[i] not in DETERMINERS)  # "live dot com", not "the dot com"
    while j < len(words) and j - i < 4 and words[j] != "dot" and (words[j] not in STOP or words[j] == "my"):
        j += 1
    end = 0
    while i < j < len(words) - 1 and words[j] == "dot" and words[j + 1] != "at":
        j += 2
        end = j if words[j - 1] in _TLDS else end
        if j < len(words) - 2 and words[j] in ("dash", "hyphen") and words[j + 2] == "dot":
            j += 2
    return end


def user_names(u: Utterance) -> Iterator[Hit]:
    """Return what follows "my user name is", "follow me on instagram at"; and "@jane" written."""
    for i, word in enumerate(u.words):
        if word[0] == "@" and len(word) > 1 and "." not in word:
            yield i, i + 1, "USERNAME", "username.written"
        bare = word in _BARE or (word == "name" and u.word(i - 1) in ("user", "screen"))
        if bare and (start := i + 1) < len(u.words):  # "user name admin forty two"
            end = _handle_end(u, start)
            if end > start and any(u.words[at] in _CONNECTORS or at in u.number_at for at in range(start + 1, end)):
                yield start, end, "USERNAME", "username.bare"
        if word not in ("is", "to", "at", "as", "under", "it's", "i'm", "was", "um", "uh") and not word.endswith("'s"):
            continue
        carrier = " ".join(u.words[max(0, i - 6) : i + 1])
        if not (_USER.search(carrier) or _FOLLOW.search(carrier)) or u.words[0] in QUESTIONS:
            continue
        start = i + 1 + (u.word(i + 1) == "at" and u.word(i + 2) not in STOP)
        end = _handle_end(u, start)
        if end > start:
            yield start, end, "USERNAME", "username.carrier"


def _handle_end(u: Utterance, start: int) -> int:
    """Index after up to four words, their connectors and numbers."""
    at, words = start, 0
    while at < len(u.words) and at - start < 14:
        word = u.words[at]
        span = u.number_at.get(at)
        if span:
            at = span.end
        elif (word in _CONNECTORS and at > start) or (word == "the" and at == start and u.word(at + 1) not in STOP):
            at += 1
        elif word not in _NOT_USER and words < 4 and (word not in STOP or u.word(at + 1) in ("dot", "underscore")):
            words += 1
            at += 1
        else:
            break
        if at - 1 < len(u.words) and u.ends_phrase(at - 1):
            break
    return at


def find_network_addresses(u: Utterance) -> Iterator[Hit]:
    """Find internet (version 4 and 6) and hardware addresses, written or with "dot" and "colon"
    said.
    """
    for i, word in enumerate(u.words):
        if word.isalpha():
            continue
        if word.count(":") > 1 or word.count("-") == 5 or word.count(".") > 1:
            if _MAC.fullmatch(word):
                yield i, i + 1, "MAC", "mac.written"
            elif _IP4.fullmatch(word) or (_IP6.fullmatch(word) and ("::" in word or word.count(":") > 3)):
                yield i, i + 1, "IP", "ip.written"
    if not u.vocabulary.isdisjoint(("dot", "point", "period")):
        yield from _spoken_ip(u)
    if not u.vocabulary.isdisjoint(("colon", "dash", "hyphen")):
        yield from _spoken_mac(u)


def _spoken_ip(u: Utterance) -> Iterator[Hit]:
    run: list[int] = []  # where the numbers so far start
    at = 0
    while at < len(u.words):
        span = u.number_at.get(at)
        if span is None and u.words[at] not in ("oh", "o"):
            run, at = [], at + 1
            continue
        end = span.end if span else at + 1
        run = [*run, at] if span is None or _OCTET.fullmatch(span.digits) else []
        if len(run) == 4:
            yield run[0], end, "IP", "ip.spoken"
            run = []
        at = end + 1 if run and u.word(end) in ("dot", "point", "period") else end
        run = run if at > end else []


def _spoken_mac(u: Utterance) -> Iterator[Hit]:
    """Six groups of two hexadecimal digits with "colon" or "dash" between."""
    at = 0
    while at < len(u.words):
        groups, end, size, start = 0, at, 0, at
        while end < len(u.words):
            word = u.words[end]
            span = u.number_at.get(end)
            if span:
                size, end = size + len(span.digits), span.end
            elif len(word) == 1 and word in "abcdef":
                size, end = size + 1, end + 1
            elif word in ("colon", "dash", "hyphen") and size == 2:
                groups, size, end = groups + 1, 0, end + 1
            else:
                break
        if groups == 5 and size == 2:
            yield start, end, "MAC", "mac.spoken"
        at = max(end, at + 1)
