"""Who is one unit: names as one form, and warnings where the corpus names people in a way that
privacy cannot rest on.

A person spread over two units is protected as two, which the claim does not cover; so spellings
that computers tell apart and people do not are one name. What may be one person or two is not
decided here: it is counted and said.
"""

import collections
import re
import unicodedata

from speechpriv.sections import DataConfig

_WHOLE = re.compile(r"([+-]?\d+)\.0+")  # as a table of floats writes a whole number
_PLACEHOLDERS = frozenset(
    ("", "-", "?", "n/a", "na", "nan", "none", "null", "nil", "unknown", "unk", "undefined", "anonymous", "anon",
     "speaker", "user", "default", "other", "test", "tbd", "x", "xxx")
)  # fmt: skip
_ALONE = 0.9  # share of units with one utterance, from which it looks as if utterances had been taken for people
_FEW = 10  # units below which nothing is said about shares


def normalise_unit(name: str) -> str:
    """Bring a unit's name to one form: NFKC, no zero-width characters, single spaces, 8.0 as 8."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    name = " ".join(visible.split())
    whole = _WHOLE.fullmatch(name)
    return whole[1] if whole else name


def unit_name(name: str, config: DataConfig) -> str:
    """Name a unit as the corpus does, in one form unless `config` says that names are as given."""
    return normalise_unit(name) if config.unit_names == "normalised" else name


class People:
    """Counts the utterances of each unit, by name; a few hundred bytes each."""

    def __init__(self) -> None:
        self._utterances: collections.Counter[str] = collections.Counter()

    def add(self, name: str) -> None:
        """Count an utterance of a unit, by its normalised name."""
        self._utterances[name] += 1

    def warnings(self) -> list[str]:
        """Say what looks wrong about the names: counts alone, and never a name."""
        n_units = len(self._utterances)
        alike = collections.Counter(map(_folded, self._utterances))
        n_alike = sum(count for count in alike.values() if count > 1)
        n_unnamed = sum(n for name, n in self._utterances.items() if name.casefold() in _PLACEHOLDERS)
        n_alone = sum(n == 1 for n in self._utterances.values())
        found = []
        if n_alike:
            found.append(
                f"{n_alike:,} of {n_units:,} unit names differ from another one by case or leading zeros alone. If "
                "they are the same people, spell them alike: each name is protected by itself."
            )
        if n_unnamed:
            found.append(
                f"{n_unnamed:,} utterances have a placeholder for a name, such as unknown. All who have the same one "
                "count as one unit, of which cap_per_unit utterances are learned from."
            )
        if n_units >= _FEW and n_alone >= _ALONE * n_units:
            found.append(
                f"{n_alone:,} of {n_units:,} units have one utterance. If the names are of recordings and not of "
                "people, nobody with several recordings is protected: name the people with data.unit_column."
            )
        return found


def _folded(name: str) -> str:
    """What two names share that are likely to be one person's."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold())
