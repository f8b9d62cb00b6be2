"""Detection on sentences of this file's own; ‹ and › mark what must be found, in a table of kind and sentence."""

import re

import pytest
from faker import Faker
from hypothesis import given, settings
from hypothesis import strategies as st

from speechpriv.errors import ConfigError
from speechpriv.scrub.detect import Finding, find, mask, word_indices

UNTIMED = settings(deadline=None)  # the first call loads name lists, and machines are shared

PERSONAL = """
PHONE my number is ‹oh seven seven double one nine hundred one two three› thanks
PHONE you can reach me on ‹four one five five five five two six seven one›
PHONE Call me at ‹(415) 555-2671›.
PHONE call ‹+1 415-555-2671› now
PHONE ‹one eight hundred five five five one two three four› is the helpline
PHONE ‹five five five zero one two three› is my phone number
PHONE his cell is ‹four one five dash five five five dash oh one two three›
PHONE her phone number's ‹five five five, zero one, nine nine›
PHONE ‹020 7946 0958›
PHONE TEXT ‹TRIPLE FIVE ZERO ONE DOUBLE TWO›
CARD my card number is ‹four two four two four two four two four two four two four two four two›
CARD ‹forty two forty two forty two forty two forty two forty two forty two forty two›
CARD pay with ‹5500-0000-0000-0004›, please
CARD the card ends in ‹four two four two›
EMAIL ‹john dot smith at gmail dot com›
EMAIL my email is ‹anna underscore smith forty two at yahoo dot co dot uk›
EMAIL Send it to ‹anna.smith+news@example.org›, thanks
EMAIL Email me at ‹John dot Smith at Gmail dot com› please
EMAIL write to ‹billing at my company dot org›
EMAIL ‹john.smith at gmail.com›
NAME my name is ‹anna smith›
NAME my name is ‹mark›
NAME my name is ‹will king› and i need help
NAME My name is ‹Xiomara Featherstonehaugh›.
NAME call doctor ‹patel›
NAME doctor ‹ford› will see you
NAME Dr. ‹Okonkwo› will see you
NAME mister ‹brightman› is here
NAME this is ‹jennifer lopez› speaking
NAME call my friend ‹susan›
NAME text ‹mark johnson› about lunch
NAME Call ‹Bill› at work
NAME call ‹rose›
NAME call me ‹maria›
NAME call back ‹john›
NAME patient ‹anna brown› has a fever
NAME book a table for ‹laura jones›
NAME a meeting with ‹Tom Hanks› tomorrow
NAME her name is ‹mary-jane watson›
SSN my social security number is ‹one two three four five six seven eight nine›
SSN ‹078-05-1120›
SSN My SSN: ‹219 09 9999›
ADDRESS i live at ‹twelve oak street›
ADDRESS deliver it to ‹221b baker street›
ADDRESS send it to ‹sixteen hundred pennsylvania avenue›
ADDRESS navigate to ‹99 maple drive apartment four›
ADDRESS ‹12 Oak Street, Springfield, IL 62704›
ADDRESS we live on ‹willow lane›
DATE_OF_BIRTH my date of birth is the ‹third of may nineteen eighty four›
DATE_OF_BIRTH i was born on ‹july fourth nineteen seventy six›
DATE_OF_BIRTH born ‹12/05/1984›
DATE_OF_BIRTH her birthday is ‹march twenty first›
URL my website is ‹john smith photography dot com›
URL see ‹https://example.org/u/anna?x=1›
URL go to ‹jane doe dot net slash blog› please
POSTCODE my zip code is ‹nine four one one zero›
POSTCODE my postcode is ‹s w one a one a a›
POSTCODE i am in ‹ec1v 9nr›
PIN my pin is ‹four eight two one›
PASSWORD my password is ‹nineteen eighty four›
PASSPORT passport number ‹a b one two three four five six›
BANK_ACCOUNT account number ‹one two three four five six seven eight›
PIN ‹4821› is my pin
ROUTING the sort code is ‹12-34-56›
IBAN ‹GB82 WEST 1234 5698 7654 32› is my account
PHONE call me at ‹eight hundred five five five one two one two›
PHONE the number is ‹plus four four seven seven double oh nine hundred one two three›
PHONE my number's ‹four one five uh five five five oh one nine nine›
SSN my social is ‹four five six double zero one two three four›
SSN the social security number we have on file is ‹123456789›
SSN national insurance ‹QQ123456C›
CARD the last one on my card is ‹forty two forty two›
IBAN transfer it to ‹d e eight nine three seven oh four oh oh four four oh five three two oh one three oh oh oh›
BANK_ACCOUNT my bank account number ends in ‹six seven eight nine›
ROUTING my sort code is ‹twenty forty five sixty seven›
ROUTING the routing number is ‹oh two one oh oh oh oh two one›
PASSPORT the number on my passport is ‹x one two three four five six seven›
DRIVING_LICENCE driver's license ‹d one two three four five six seven›
TAX my tax id number is ‹nine one two dash seven oh dash one two three four›
HEALTH my nhs number is ‹four eight five seven seven seven three four five six›
HEALTH_PLAN member id ‹x y z one two three four five six›
MEDICAL_RECORD MRN ‹00123456›
FAX fax it to ‹two one two five five five oh one nine eight›
DEVICE the serial number is ‹c zero two x y one two three›
VEHICLE my vin is ‹1HGBH41JXMN109186›
PLATE my car reg is ‹l k fifty two z p h›
PLATE number plate ‹AB12 CDE›
PLATE plate number ‹alpha bravo one two charlie delta echo›
POSTCODE post it to ‹s e one nine g f›
PIN the code for the alarm is ‹five five eight two›
PIN the code to get in is ‹5582›
PASSWORD my password is ‹open sesame›
PASSWORD the wifi password is ‹purple monkey dishwasher› thanks
PASSWORD the password for the router is ‹capital b lowercase a nine nine›
PASSWORD Password: ‹Tr0ub4dor&3›
USERNAME my username is ‹cool cat ninety nine›
USERNAME follow me on twitter at ‹jane underscore doe›
USERNAME i'm ‹@janedoe› on twitter
AGE my grandmother is ‹ninety seven› years old
AGE he turned ‹one hundred and two› on sunday
AGE the patient is a ‹94-year-old› man
CITY i live in ‹springfield›
CITY we just moved to ‹austin texas› last year
CITY i'm from ‹kansas city›
SPELLED it is spelled ‹k o w a l s k i›
SPELLED that's ‹j as in john o n e s›
SPELLED i am ‹S-M-I-T-H›
IP my ip is ‹one ninety two dot one sixty eight dot one dot twelve›
IP ping ‹192.168.1.1›
IP reach it under ‹2001:db8::8a2e:370:7334›
MAC the printer has ‹00:1B:44:11:3A:B7›
MAC mac address ‹zero zero colon one b colon four four colon one one colon three a colon b seven›
ADDRESS ship it to ‹P.O. Box 1234, Springfield, IL 62704›
ADDRESS flowers for ‹flat 3, 27 King's Road›
ADDRESS my address is ‹one twenty three main street apartment four b›
URL visit ‹www dot my cool blog dot com›
URL my page is ‹jane-doe.github.io/portfolio›
EMAIL my email is ‹john smith at gmail›
EMAIL it is ‹jane underscore doe at example dot co dot uk›
NAME call ‹fields combs›
NAME call ‹grace hopper›
NAME ‹anna smith› speaking
NAME is ‹kevin› coming to dinner
NAME happy birthday ‹jessica›
"""
CASES = [tuple(line.split(" ", 1)) for line in PERSONAL.strip().splitlines()]

COMMANDS = """
set a timer for five minutes
wake me at seven thirty
wake me at seven thirty eight thirty and nine thirty
set alarms for 7 30 8 30 9 30
ten nine eight seven six five four three two one
one two three four five six seven eight nine ten
call me later
call me in twenty five minutes
play nineteen eighty four
play call me maybe
play mister brightside
play 21 jump street
play songs by taylor swift
turn it up to eleven
meet me at the dot com office
set the thermostat to seventy two degrees
set brightness to 80%
it costs twelve hundred dollars
add $1,200 to the budget
what was the weather in nineteen ninety nine
was einstein born in eighteen seventy nine
my birthday is in two weeks
mark this as done
may i go now
bill me next month
pay my phone bill
text may contain errors
tell the king that the bill is one hundred and five dollars
roast chicken with rosemary and brown rice
who is george washington
navigate to the nearest gas station
find a coffee shop on main street
turn left in five hundred feet
take a five minute drive
at ten feed cat close door
remind me on 2024-05-06
change my password at seven thirty
order two thousand five hundred napkins
pi is three point one four one five nine two six five
what's 1,234,567 plus 89
the patient is forty five years old
the doctor will see you
my friend will come later
blood pressure is one twenty over eighty
flight ba two four seven leaves at nine fifteen
open youtube dot com
shop at amazon dot com
connect the dots in the picture
version 2.0.1 is out
double espresso please
oh my god
alexa stop
what is my name
what is two hundred plus fifty
play nineteen seventy nine by smashing pumpkins
it costs nineteen ninety nine
set the thermostat to seventy two
add nineteen to twenty three
the balance on my account is two thousand dollars
i forgot my password
the password is incorrect
error code is four oh four
set alarms for six six fifteen six thirty and six forty five
i live in a small town
my dad is ninety kilos
one hundred years of solitude
a b c d e f g
watch the b b c
order two thousand paper cups
he is from the future
is pizza available
call the nearest pharmacy
what's the wifi password
what's my ip address
put a dot in the middle
visit the page again
good morning
"""


@pytest.mark.parametrize(("kind", "marked"), CASES)
def test_personal_data_is_found_to_the_word(kind, marked):
    text = re.sub("[‹›]", "", marked)
    start = marked.index("‹")
    (finding,) = find(text)
    assert finding.kind == kind
    assert text[finding.start : finding.end] == marked[start + 1 : marked.index("›")]
    assert finding.start == start


@pytest.mark.parametrize("text", COMMANDS.strip().splitlines())
def test_commands_survive(text):
    assert find(text) == []
    assert find(text.upper()) == []


@pytest.mark.parametrize(("kind", "marked"), CASES)
def test_lower_and_upper_case_are_found_alike(kind, marked):
    text = re.sub("[‹›]", "", marked)
    if text.islower():
        assert [f.start for f in find(text.upper())] == [f.start for f in find(text)]
        assert find(text.upper())[0].kind == kind


def test_several_in_one_utterance():
    text = "i'm anna, call mark and susan on 415 555 2671 or write to a.b@example.org"
    assert mask(text, find(text)) == "i'm [NAME], call [NAME] and [NAME] on [PHONE] or write to [EMAIL]"


TEMPLATES = {
    "NAME": (
        ["{} {}", "my name is {} {}", "could you ring {} {} for me", "this is {} {} again", "patient {} {} is waiting"],
        lambda fake: (fake.first_name(), fake.last_name()),
    ),
    "EMAIL": (
        [
            "the report {} {}",
            "my e-mail is {} dot {} at mailbox dot org",
            "forward it to {} dot {} at acme dot co dot uk",
        ],
        lambda fake: (fake.first_name(), fake.last_name()),
    ),
    "PHONE": (
        ["channel {} {}", "ring us on {} {} please", "my new mobile number is {} {}", "{} {} is the number to call"],
        lambda fake: (fake.numerify("2%# 5%#"), fake.numerify("####")),
    ),
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_recall_over_fillers_and_none_without_the_carrier(kind):
    """The first template is the negative control: the same sort of words with nothing that announces them."""
    templates, fill = TEMPLATES[kind]
    fake = Faker(["en_US", "en_GB"])
    fake.seed_instance(7)
    found = [[] for _ in templates]
    for _ in range(150):
        for hits, template in zip(found, templates, strict=True):
            text = template.format(*(part.lower() for part in fill(fake)))
            hits.append(any(f.kind == kind for f in find(text)))
    rates = [sum(hits) / len(hits) for hits in found]
    if kind != "PHONE":  # a long number is found by itself too
        assert rates[0] <= 0.02
    assert min(rates[1:]) >= 0.97


TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*re.sub("[‹›]", "", PERSONAL).split(), "(", "5", "—", "at", "dot", "İ", "²"])).map(
        " ".join
    ),
)


@UNTIMED
@given(TEXTS)
def test_any_text(text):
    findings = find(text)
    assert findings == find(text)
    edges = [edge for finding in findings for edge in (finding.start, finding.end)]
    assert edges == sorted(edges)
    for finding in findings:
        assert 0 <= finding.start < finding.end <= len(text)
        for outside in (text[: finding.start][-1:], text[finding.end :][:1]):  # whole words: space, edge or punctuation
            assert not outside.isalnum()
    cut = [(f.start, f.end) for f in findings]
    kept = [text[a:b] for a, b in zip([0, *(e for _, e in cut)], [*(s for s, _ in cut), len(text)], strict=True)]
    expected = kept[0] + "".join(f"[{f.kind}]{rest}" for f, rest in zip(findings, kept[1:], strict=True))
    assert mask(text, findings) == expected
    assert len(expected) == len(text) - sum(b - a for a, b in cut) + sum(len(f.kind) + 2 for f in findings)


@UNTIMED
@given(TEXTS)
def test_word_indices_against_the_plain_definition(text):
    findings = find(text)
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    assert [text[a:b] for a, b in spans] == text.split()
    for (first, last, kind), finding in zip(word_indices(text, findings), findings, strict=True):
        touched = [i for i, (a, b) in enumerate(spans) if a < finding.end and finding.start < b]
        assert touched == list(range(first, last))
        assert kind == finding.kind


def test_word_indices_and_mask_by_hand():
    text = "Ring  Anna Smith, (415) 555-2671!"
    findings = find(text)
    assert word_indices(text, findings) == [(1, 3, "NAME"), (3, 5, "PHONE")]
    assert mask(text, findings) == "Ring  [NAME], [PHONE]!"
    assert word_indices("a bc d", [Finding(3, 4, "NAME", "x")]) == [(1, 2, "NAME")]


def test_empty():
    assert find("") == []
    assert mask("", []) == ""
    assert word_indices("", []) == []


def test_unknown_profile_names_the_choices():
    with pytest.raises(ConfigError, match=r"'loose'.*default, hipaa, strict"):
        find("hello", profile="loose")
