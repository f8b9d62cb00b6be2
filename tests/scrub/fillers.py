"""Synthetic personal data, as it is said and as it is written, for the labelled sentences."""

import random
import string
from collections.abc import Callable

from faker import Faker


def _words(text: str) -> list[str]:
    return text.split()


ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MONTHS = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
DAYS = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
NATO = _words(
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu"
)
WORDS = _words(
    "blue horse river candle yellow mountain tiger pepper winter rocket silver garden monkey thunder coffee purple "
    "dragon velvet orange hammer"
)
SONGS = [
    *("Bohemian Rhapsody", "Nineteen Eighty Four", "Call Me Maybe", "Billie Jean", "Hey Jude", "Rosalita", "Roxanne"),
    *("Ninety Nine Red Balloons", "Jolene", "Eight Days A Week", "Yesterday", "Dancing Queen", "Mr. Brightside"),
    *("Angie", "Layla"),
]
STREETS = [
    "street",
    "road",
    "avenue",
    "lane",
    "drive",
    "court",
    "way",
    "boulevard",
    "close",
    "place",
    "terrace",
    "hill",
]
HOSTS = ["gmail.com", "yahoo.co.uk", "hotmail.com", "outlook.com", "example.org", "mailbox.net", "acme.io", "uni.ac.uk"]
# Names of people whose lists the detector does not have.
STRANGE = ["tr_TR", "nl_NL", "en_KE", "fi_FI"]


class Fillers:
    """Draws values; `spoken` decides the form of all of them."""

    def __init__(self, seed: int, *, spoken: bool) -> None:
        self.rng = random.Random(seed)
        self.fake = Faker(["en_US", "en_GB", "en_IN"])
        self.strange = Faker(STRANGE)
        self.fake.seed_instance(seed)
        self.strange.seed_instance(seed)
        self.spoken = spoken

    def fill(self, slot: str) -> str:
        """A value for {slot}."""
        function: Callable[[], str] = getattr(self, f"_{slot.lower()}")
        return function()

    # -- how things are said

    def _digits(self, length: int) -> str:
        return "".join(self.rng.choice(string.digits) for _ in range(length))

    def _letters(self, length: int) -> str:
        return "".join(self.rng.choice(string.ascii_uppercase) for _ in range(length))

    def say(self, digits: str, groups: tuple[int, ...] = ()) -> str:
        """Digits one by one, with repeats, in pairs, or with hundreds."""
        style = self.rng.choice(["plain", "plain", "repeats", "pairs", "hundreds"])
        zero = self.rng.choice(["oh", "zero"])
        words: list[str] = []
        at = 0
        for size in groups or (len(digits),):
            group = digits[at : at + size]
            at += size
            if style == "pairs" and len(group) % 2 == 0 and all(pair[0] != "0" for pair in _pairs(group)):
                words += [self.number(int(pair)) for pair in _pairs(group)]
            elif style == "hundreds" and len(group) == 3 and group[0] != "0" and group[1:] == "00":
                words += [ONES[int(group[0])], "hundred"]
            else:
                words += self._one_by_one(group, zero, repeats=style == "repeats")
        return " ".join(words)

    @staticmethod
    def _one_by_one(group: str, zero: str, *, repeats: bool) -> list[str]:
        words: list[str] = []
        at = 0
        while at < len(group):
            run = len(group[at:]) - len(group[at:].lstrip(group[at])) if repeats else 1
            run = min(run, 3)
            word = zero if group[at] == "0" else ONES[int(group[at])]
            words += [word] if run == 1 else [["double", "triple"][run - 2], word]
            at += run
        return words

    def number(self, value: int) -> str:
        """A cardinal of 0 to 9,999."""
        if value < 10:
            return ONES[value]
        if value < 20:
            return TEENS[value - 10]
        if value < 100:
            return TENS[value // 10] + (f" {ONES[value % 10]}" if value % 10 else "")
        if value < 1000:
            rest = f" {self.rng.choice(['and ', ''])}{self.number(value % 100)}" if value % 100 else ""
            return f"{ONES[value // 100]} hundred{rest}"
        rest = f" {self.number(value % 1000)}" if value % 1000 else ""
        return f"{ONES[value // 1000]} thousand{rest}"

    def _code(self, text: str) -> str:
        """A code of letters and digits."""
        if not self.spoken:
            return text
        radio = self.rng.random() < 0.2
        words = []
        for sign in text:
            if sign.isdigit():
                words.append(ONES[int(sign)])
            elif sign.isalpha():
                words.append(NATO[ord(sign.lower()) - 97] if radio else sign.lower())
        return " ".join(words)

    def _grouped(self, digits: str, groups: tuple[int, ...], separator: str) -> str:
        if self.spoken:
            return self.say(digits, groups)
        pieces, at = [], 0
        for size in groups:
            pieces.append(digits[at : at + size])
            at += size
        return separator.join(pieces)

    # -- people

    def _case(self, name: str) -> str:
        return name.lower() if self.spoken else name

    def _name(self) -> str:
        fake = self.strange if self.rng.random() < 0.1 else self.fake
        return self._case(f"{fake.first_name()} {fake.last_name()}")

    def _first_name(self) -> str:
        return self._case(self.fake.first_name())

    def _last_name(self) -> str:
        return self._case(self.fake.last_name())

    def _spelled(self) -> str:
        name = self.fake.last_name().lower()
        letters = [letter for letter in name if letter.isalpha()][:9]
        if len(letters) < 4:
            letters = list("nguyen")
        return " ".join(letters) if self.spoken else "-".join(letters).upper()

    # -- numbers

    def _phone(self) -> str:
        kind = self.rng.choice(["us", "us", "us1", "gb", "gb", "short"])
        if kind == "gb":
            digits = "07" + self.rng.choice("4578") + self._digits(8)
            return self._grouped(digits, (5, 3, 3), " ")
        if kind == "short":
            digits = self.rng.choice("2345678") + self._digits(6)
            return self._grouped(digits, (3, 4), "-")
        digits = self.rng.choice(["415", "212", "617", "303"]) + self.rng.choice("2345678") + self._digits(6)
        if kind == "us1":
            if self.spoken:
                return (
                    f"plus one {self.say(digits, (3, 3, 4))}" if self.rng.random() < 0.5 else f"one {self.say(digits)}"
                )
            return f"+1 {digits[:3]}-{digits[3:6]}-{digits[6:]}"
        if not self.spoken and self.rng.random() < 0.5:
            return f"({digits[:3]}) {digits[3:6]}-{digits[6:]}"
        return self._grouped(digits, (3, 3, 4), self.rng.choice(["-", " ", "."]))

    _fax = _phone

    def _card(self) -> str:
        body = self.rng.choice(["4", "51", "54", "4", "2221"])
        body += self._digits(15 - len(body))
        digits = body + next(str(check) for check in range(10) if _luhn(body + str(check)))
        return self._grouped(digits, (4, 4, 4, 4), self.rng.choice([" ", "-", ""]))

    def _iban(self) -> str:
        iban = self.fake.iban() if self.rng.random() < 0.7 else self.strange["tr_TR"].iban()
        if self.spoken:
            return " ".join(ONES[int(sign)] if sign.isdigit() else sign.lower() for sign in iban)
        return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)) if self.rng.random() < 0.5 else iban

    def _number_of(self, length: int) -> str:
        digits = self._digits(length)
        return self.say(digits) if self.spoken else digits

    def _bank_account(self) -> str:
        return self._number_of(self.rng.choice([8, 9, 10, 12]))

    def _sort_code(self) -> str:
        return self._grouped(self._digits(6), (2, 2, 2), "-")

    def _routing(self) -> str:
        return self._number_of(9)

    def _ssn(self) -> str:
        digits = f"{self.rng.randint(100, 665)}{self.rng.randint(10, 99)}{self.rng.randint(1000, 9999)}"
        return self._grouped(digits, (3, 2, 4), "-")

    def _ssn4(self) -> str:
        return self._number_of(4)

    def _passport(self) -> str:
        return self._code(
            self.rng.choice([self._letters(1) + self._digits(8), self._digits(9), self._letters(2) + self._digits(7)])
        )

    def _driving_licence(self) -> str:
        return self._code(
            self.rng.choice(
                [
                    self._letters(1) + self._digits(7),
                    self._digits(8),
                    self._letters(5) + self._digits(6) + self._letters(2),
                ]
            )
        )

    def _tax(self) -> str:
        return self._number_of(self.rng.choice([9, 10]))

    def _health(self) -> str:
        return self._grouped(self._digits(10), (3, 3, 4), " ")

    def _medical_record(self) -> str:
        return self._code(self.rng.choice([self._digits(7), self._letters(2) + self._digits(6)]))

    def _health_plan(self) -> str:
        return self._code(self.rng.choice([self._letters(3) + self._digits(7), self._digits(9)]))

    def _device(self) -> str:
        return self._code(self.rng.choice([self._digits(15), self._letters(2) + self._digits(8)]))

    def _vehicle(self) -> str:
        return self._code(
            "".join(self.rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(3))
            + self._digits(2)
            + "ABC"
            + self._digits(9)
        )

    def _pin(self) -> str:
        return self._number_of(self.rng.choice([4, 4, 6]))

    def _plate(self) -> str:
        british = self._letters(2) + self._digits(2) + ("" if self.spoken else " ") + self._letters(3)
        return self._code(self.rng.choice([british, self._digits(1) + self._letters(3) + self._digits(3)]))

    def _postcode(self) -> str:
        head = self.rng.choice(["SW1", "EC1", "M", "LS", "B", "CF"]) + self._digits(1)
        code = (
            head
            + " "
            + self.rng.choice(string.digits)
            + "".join(self.rng.choice("ABDEFGHJLNPQRSTUWXYZ") for _ in range(2))
        )
        return self._code(code)

    def _zip(self) -> str:
        digits = str(self.rng.randint(10000, 99999))
        return self.say(digits) if self.spoken else digits

    def _ip(self) -> str:
        octets = [self.rng.randint(1, 254) for _ in range(4)]
        if not self.spoken:
            return ".".join(map(str, octets))
        return " dot ".join(self.say(str(octet)) for octet in octets)

    def _mac(self) -> str:
        octets = [f"{self.rng.randint(0, 255):02x}" for _ in range(6)]
        if not self.spoken:
            return ":".join(octets)
        return " colon ".join(" ".join(ONES[int(s)] if s.isdigit() else s for s in octet) for octet in octets)

    # -- dates and ages

    def _date_of_birth(self) -> str:
        day, month, year = self.rng.randint(1, 28), self.rng.randint(1, 12), self.rng.randint(1930, 2012)
        if not self.spoken:
            name = MONTHS[month - 1].capitalize()
            return self.rng.choice(
                [
                    f"{day:02}/{month:02}/{year}",
                    f"{name} {day}, {year}",
                    f"{day} {name} {year}",
                    f"{year}-{month:02}-{day:02}",
                ]
            )
        ordinal = DAYS[day - 1] if day <= 20 else f"twenty {DAYS[day - 21]}"
        said = (
            f"{self.number(year // 100)} {self.number(year % 100)}" if year < 2000 and year % 100 else self.number(year)
        )
        return self.rng.choice(
            [
                f"the {ordinal} of {MONTHS[month - 1]} {said}",
                f"{MONTHS[month - 1]} {ordinal} {said}",
                f"{MONTHS[month - 1]} {self.number(day)} {said}",
                f"{self.number(day)} {self.number(month)} {said}",
                f"{ordinal} {MONTHS[month - 1]} {said}",
            ]
        )

    def _age(self) -> str:
        age = self.rng.randint(90, 108)
        return self.number(age) if self.spoken else str(age)

    # -- net

    def _say_handle(self, handle: str) -> str:
        signs = {".": " dot ", "_": " underscore ", "-": " dash ", "@": " at ", "/": " slash "}
        said, at = "", 0
        while at < len(handle):
            run = len(handle[at:]) - len(handle[at:].lstrip(string.digits))
            if run:
                digits = handle[at : at + run]
                plain = run == 2 and digits[0] != "0"
                said += f" {self.number(int(digits)) if plain else ' '.join(ONES[int(d)] for d in digits)} "
                at += run
            else:
                said += signs.get(handle[at], handle[at])
                at += 1
        return " ".join(said.split())

    def _handle(self) -> str:
        first, last = self.fake.first_name().lower(), self.fake.last_name().lower()
        tail = self.rng.choice(["", "", self._digits(2), self._digits(4)])
        return self.rng.choice(
            [f"{first}.{last}{tail}", f"{first}_{last}{tail}", f"{first}{tail}", f"{first[0]}.{last}{tail}"]
        )

    def _email(self) -> str:
        address = f"{self._handle()}@{self.rng.choice([*HOSTS, self.fake.domain_name()])}"
        return self._say_handle(address) if self.spoken else address

    def _url(self) -> str:
        host = (
            f"{self.rng.choice(WORDS)}{self.rng.choice(WORDS)}.{self.rng.choice(['com', 'org', 'net', 'co.uk', 'io'])}"
        )
        path = self.rng.choice(["", f"/{self.rng.choice(WORDS)}"])
        if not self.spoken:
            return self.rng.choice(["https://", "www.", ""]) + host + path
        return self.rng.choice(["", "www dot "]) + self._say_handle(host + path)

    def _username(self) -> str:
        handle = self.rng.choice(
            [self._handle(), f"{self.rng.choice(WORDS)}_{self.rng.choice(WORDS)}{self._digits(2)}"]
        )
        return self._say_handle(handle) if self.spoken else handle

    def _password(self) -> str:
        words = self.rng.sample(WORDS, self.rng.choice([1, 2, 3]))
        tail = self.rng.choice(["", self._digits(2), self._digits(4)])
        if self.spoken:
            return " ".join([*words, self.say(tail)]).strip() if tail else " ".join(words)
        return "".join(word.capitalize() for word in words) + (tail or "1") + self.rng.choice(["", "!", "#x"])

    # -- places

    def _address(self) -> str:
        house = self.rng.choice([self.rng.randint(1, 99), self.rng.randint(100, 999), self.rng.randint(1000, 9999)])
        name = self.rng.choice([self.fake.last_name(), self.rng.choice(WORDS).capitalize()])
        street = f"{name} {self.rng.choice(STREETS).capitalize()}"
        if self.rng.random() < 0.2:
            said = self._say_house(house) if self.spoken else str(house)
            whole = f"{said} {self.fake['en_US'].street_name()}"
        else:
            whole = f"{self._say_house(house) if self.spoken else house} {street}"
        if self.rng.random() < 0.25:
            unit = self.rng.randint(1, 40)
            whole += f" apartment {self.number(unit) if self.spoken else unit}"
        if self.rng.random() < 0.25:
            city = self.rng.choice(["Springfield", "Boston", "Portland"])
            whole += f"{'' if self.spoken else ','} {city} {self.fake['en_US'].state()} {self._zip()}"
        return self._case(whole)

    def _say_house(self, house: int) -> str:
        digits = str(house)
        if house < 100:
            return self.number(house)
        if len(digits) == 4 and digits[2] != "0" and digits[0] != "0":
            return f"{self.number(house // 100)} {self.number(house % 100)}"
        return " ".join(ONES[int(digit)] for digit in digits) if house % 2 else self.number(house)

    def _city(self) -> str:
        return self._case(
            self.rng.choice([self.fake["en_US"].city(), self.fake["en_IN"].city(), "Boston", "San Diego", "Leeds"])
        )

    # -- what commands hold, which must survive

    def _amount(self, value: int) -> str:
        return self.number(value) if self.spoken else str(value)

    def _minutes(self) -> str:
        return self._amount(self.rng.choice([2, 5, 10, 15, 20, 25, 30, 45, 90]))

    def _small(self) -> str:
        return self._amount(self.rng.randint(1, 250))

    def _degrees(self) -> str:
        return self._amount(self.rng.randint(16, 99))

    def _oven(self) -> str:
        return self._amount(self.rng.choice([180, 200, 220, 350, 400, 425]))

    def _pounds(self) -> str:
        return self._amount(self.rng.randint(100, 250))

    def _price(self) -> str:
        return self._amount(self.rng.choice([20, 99, 150, 250, 1200, 2500, 5000, 9999]))

    def _cash(self) -> str:
        if self.spoken:
            return f"{self.number(self.rng.randint(11, 99))} ninety nine"
        return f"${self.rng.randint(11, 99)}.99"

    def _room(self) -> str:
        value = self.rng.randint(101, 480)
        return self.say(str(value)) if self.spoken else str(value)

    def _plane(self) -> str:
        return "seven forty seven" if self.spoken else "747"

    def _flight(self) -> str:
        return self._code(f"BA{self.rng.randint(100, 999)}")

    def _version(self) -> str:
        return "two point one" if self.spoken else "2.0.1"

    def _year(self) -> str:
        year = self.rng.randint(1901, 2029)
        if not self.spoken:
            return str(year)
        if year >= 2000:
            return self.number(year)
        low = year % 100
        return f"nineteen {f'oh {ONES[low]}' if low < 10 else self.number(low)}"

    def _time(self) -> str:
        hour, minute = self.rng.randint(1, 12), self.rng.choice([0, 5, 15, 30, 45, 50])
        if not self.spoken:
            return f"{hour}:{minute:02}" + self.rng.choice(["", " am", " pm"])
        said = {0: " o'clock", 5: " oh five"}.get(minute, f" {self.number(minute)}" if minute else "")
        return self.number(hour) + said + self.rng.choice(["", " am", " pm"] if minute else [""])

    def _song(self) -> str:
        song = self.rng.choice(SONGS)
        return self._case(song).replace("mr.", "mister") if self.spoken else song

    def _countdown(self) -> str:
        start = self.rng.randint(5, 12)
        return " ".join(self._amount(value) for value in range(start, 0, -1))

    def _countup(self) -> str:
        return " ".join(self._amount(value) for value in range(1, self.rng.randint(5, 12)))


def _pairs(group: str) -> list[str]:
    return [group[at : at + 2] for at in range(0, len(group), 2)]


def _luhn(digits: str) -> bool:
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(digits[::-1])]
    return sum(sum(map(int, str(value))) for value in doubled) % 10 == 0
