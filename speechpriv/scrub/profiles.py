"""Which rules each profile runs. A new kind is one function and one line here."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from speechpriv.scrub import ages, contacts, dates, identifiers, letters, names, passwords, places, shapes
from speechpriv.scrub.utterance import Hit, Utterance

Profile = Literal["default", "hipaa", "strict"]


class Rule(NamedTuple):
    """One way to find personal data.

    It is run where any of its marks is in the utterance.

    Attributes:
      find: yields word ranges with kind and rule, in time linear in the number of words.
      words: the words that it may start from; None: it is always run.
      digits: whether any number will do, said or written, or a written one only.
      signs: characters of the text.
    """

    find: Callable[[Utterance], Iterator[Hit]]
    words: frozenset[str] | None = frozenset()
    digits: Literal["", "any", "written"] = ""
    signs: str = ""

    def is_worth_it(self, u: Utterance) -> bool:
        """Return whether the rule can find anything in this utterance."""
        if self.words is None or not self.words.isdisjoint(u.vocabulary):
            return True
        if self.digits and (u.has_digits if self.digits == "written" else u.has_numbers):
            return True
        return self.signs != "" and any(sign in u.text for sign in self.signs)


# In order of rank: where rules overlap, the first gives the kind.
_DEFAULT = (
    Rule(contacts.find_emails, contacts.AT, signs="@"),
    Rule(contacts.find_network_addresses, contacts.SEPARATORS, signs=".:-"),
    Rule(contacts.find_urls, contacts.DOT, signs="."),
    Rule(contacts.user_names, contacts.USER_WORDS, signs="@"),
    Rule(passwords.find_passwords, passwords.CARRIERS),
    Rule(dates.find_births, dates.BIRTHS),
    Rule(places.find_addresses, places.STREETS),
    Rule(shapes.find_ibans, digits="written"),
    Rule(shapes.find_codes, digits="written"),
    Rule(identifiers.find_identifiers, digits="any"),
    Rule(ages.find_ages, ages.HUNDRED, digits="any"),
    Rule(letters.find_spelled, letters.LETTERS),
    Rule(letters.find_joined, signs="-."),
    Rule(places.find_cities, places.LIVES),
    Rule(names.find_people, words=None),
    Rule(names.people_before, words=None),
)
_HIPAA = (*_DEFAULT, Rule(dates.find_dates, dates.MONTHS, digits="written"), Rule(places.known_cities, places.NEAR))
_STRICT = (*_HIPAA, Rule(identifiers.any_number, digits="any"), Rule(names.people_anywhere, words=None))

RULES: Mapping[Profile, tuple[Rule, ...]] = {"default": _DEFAULT, "hipaa": _HIPAA, "strict": _STRICT}

# The 18 identifiers of the HIPAA Safe Harbor method, 45 CFR 164.514(b)(2)(i), and the kinds that
# stand for each here.
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
