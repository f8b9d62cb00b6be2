"""Which rules each profile runs. A new kind is one function and one line here."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from speechpriv.scrub import contacts, dates, identifiers, letters, names, passwords, places, shapes
from speechpriv.scrub.utterance import Hit, Utterance

Profile = Literal["default", "hipaa", "strict"]


class Rule(NamedTuple):
    """One way to find personal data.

    Attributes:
      find: yields word ranges with kind and rule, in time linear in the number of words.
      words: without one of these words the rule is not run; None: it is always run.
      digits: run it also where there is a digit, written or said.
      sign: run it also where the text has this sign.
    """

    find: Callable[[Utterance], Iterator[Hit]]
    words: frozenset[str] | None = None
    digits: bool = False
    sign: str = ""

    def is_worth_it(self, u: Utterance) -> bool:
        """Whether the rule can find anything in this utterance."""
        return (
            self.words is None
            or (self.digits and u.has_digits)
            or (self.sign != "" and self.sign in u.text)
            or not self.words.isdisjoint(u.vocabulary)
        )


_NEVER: frozenset[str] = frozenset()

# In order of rank: where rules overlap, the first gives the kind.
_DEFAULT = (
    Rule(contacts.emails, contacts.AT, sign="@"),
    Rule(contacts.network, contacts.COLONS, digits=True, sign=":"),
    Rule(contacts.urls, contacts.DOT, sign="."),
    Rule(contacts.user_names, contacts.USER_WORDS, sign="@"),
    Rule(passwords.find, passwords.CARRIERS),
    Rule(dates.births, dates.BIRTHS),
    Rule(places.addresses, places.RESIDES, digits=True),
    Rule(shapes.ibans, _NEVER, digits=True),
    Rule(shapes.written, _NEVER, digits=True),
    Rule(identifiers.find, _NEVER, digits=True),
    Rule(dates.ages, _NEVER, digits=True),
    Rule(letters.find),
    Rule(places.cities, places.LIVES),
    Rule(names.people),
    Rule(names.people_before),
)
_HIPAA = (*_DEFAULT, Rule(dates.dates, dates.MONTHS, digits=True), Rule(places.known_cities, places.NEAR))
_STRICT = (*_HIPAA, Rule(identifiers.any_number, _NEVER, digits=True), Rule(names.people_anywhere))

RULES: Mapping[Profile, tuple[Rule, ...]] = {"default": _DEFAULT, "hipaa": _HIPAA, "strict": _STRICT}

# The 18 identifiers of the HIPAA Safe Harbor method, 45 CFR 164.514(b)(2)(i), and the kinds that stand for each here.
SAFE_HARBOR: Mapping[str, tuple[str, ...]] = {
    "names": ("NAME",),
    "geographic subdivisions smaller than a state": ("ADDRESS", "CITY", "POSTCODE"),
    "dates except the year, and ages over 89": ("DATE", "DATE_OF_BIRTH", "AGE"),
    "telephone numbers": ("PHONE",),
    "fax numbers": ("FAX",),
    "e-mail addresses": ("EMAIL",),
    "social security numbers": ("SSN",),
    "medical record numbers": ("MEDICAL_RECORD",),
    "health plan beneficiary numbers": ("HEALTH_PLAN", "HEALTH"),
    "account numbers": ("BANK_ACCOUNT", "ROUTING", "IBAN", "CARD", "ACCOUNT"),
    "certificate and license numbers": ("DRIVING_LICENCE", "PASSPORT", "TAX"),
    "vehicle identifiers, serial numbers and license plates": ("VEHICLE", "PLATE"),
    "device identifiers and serial numbers": ("DEVICE",),
    "web addresses": ("URL",),
    "internet protocol addresses": ("IP", "MAC"),
    "biometric identifiers, voice prints among them": (),  # the recording itself: anonymize/ disguises the voice
    "full-face photographs": (),  # a corpus holds none
    "any other unique number, characteristic or code": ("NUMBER", "SPELLED", "USERNAME", "PASSWORD", "PIN"),
}
