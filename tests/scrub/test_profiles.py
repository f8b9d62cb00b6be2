import pytest

from speechpriv.scrub.detect import find
from speechpriv.scrub.profiles import RULES, SAFE_HARBOR

# One sentence for each of the 18 identifiers of Safe Harbor; None where text holds none.
HARBOR = {
    "names": "my name is anna smith",
    "geographic subdivisions smaller than a state": "he was treated in chicago",
    "dates except the year, and ages over 89": "she was admitted on the third of may",
    "telephone numbers": "call me on five five five zero one nine nine",
    "fax numbers": "fax it to two one two five five five oh one nine eight",
    "e-mail addresses": "write to anna at example dot org",
    "social security numbers": "my social is four five six double zero one two three four",
    "medical record numbers": "medical record number four four one two seven",
    "health plan beneficiary numbers": "member id x y z one two three four five",
    "account numbers": "account number double four one two nine nine",
    "certificate and license numbers": "driver's license d one two three four five six seven",
    "vehicle identifiers, serial numbers and license plates": "my license plate is seven a b c one two three",
    "device identifiers and serial numbers": "the pacemaker id is a b one two three four five",
    "web addresses": "see www dot anna smith dot com",
    "internet protocol addresses": "it came from ten dot zero dot twelve dot one",
    "biometric identifiers, voice prints among them": None,
    "full-face photographs": None,
    "any other unique number, characteristic or code": "booking number seven seven one two four",
}


def kinds(text, profile):
    return {finding.kind for finding in find(text, profile)}


def test_all_eighteen_are_named():
    assert len(SAFE_HARBOR) == 18
    assert list(HARBOR) == list(SAFE_HARBOR)


@pytest.mark.parametrize("name", [name for name in HARBOR if HARBOR[name]])
def test_hipaa_finds_each(name):
    assert kinds(HARBOR[name], "hipaa") & set(SAFE_HARBOR[name])


@pytest.mark.parametrize(
    "text",
    ["admitted on march fifth twenty twenty one", "seen on 3/5/2021", "discharged in june", "from the 12th of may"],
)
def test_only_the_wider_profiles_take_dates(text):
    assert kinds(text, "default") == set()
    assert kinds(text, "hipaa") == kinds(text, "strict") == {"DATE"}


@pytest.mark.parametrize(
    "text", ["in nineteen eighty four", "march on", "i may come", "the first of many", "on tuesday"]
)
def test_a_year_or_a_verb_is_no_date(text):
    assert kinds(text, "hipaa") == set()


def test_strict_takes_names_and_numbers_without_a_carrier():
    text = "jennifer said four seven one one"
    assert kinds(text, "hipaa") == set()
    assert kinds(text, "strict") == {"NAME", "NUMBER"}


def test_profiles_grow():
    assert set(RULES["default"]) < set(RULES["hipaa"]) < set(RULES["strict"])
