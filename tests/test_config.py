import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from speechpriv.config import PipelineConfig, PretrainConfig, fingerprint, load, load_canary
from speechpriv.errors import ConfigError

GOOD = """
recipe: assistant
data: {source: demo}
privacy: {units: 400, epsilon: 8, delta: 1e-5, cohort: 40, steps: 100}
"""


def write(path, text):
    path = path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path, GOOD)


def refuse(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return str(caught.value)


def test_a_small_config_is_filled_with_defaults(good):
    found = load(good)
    assert isinstance(found, PipelineConfig)
    assert found.data.demo.units == 400
    assert found.privacy.delta == 1e-5  # YAML 1.1 reads 1e-5 as a string
    assert found.privacy.sampling_rate == pytest.approx(0.1)


def test_the_other_recipe_has_its_own_settings(tmp_path):
    assert isinstance(load(write(tmp_path, "recipe: pretrain\nsteps: 5\n")), PretrainConfig)
    assert "privacy: no such setting" in refuse(write(tmp_path, "recipe: pretrain\nprivacy: {}\n"))


def test_every_error_at_once_with_where_what_and_what_was_expected(tmp_path):
    path = write(
        tmp_path,
        """
recipe: assistant
data: {source: demo, tset_fraction: 0.1, min_seconds: -1}
privacy: {units: 400, epsilon: 0, delta: nonsense, steps: 100}
anonymize: {method: robot}
audit: {confidence: 1}
speed: fast
""",
    )
    message = refuse(path)
    lines = message.splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    expected = (
        ("data.tset_fraction", "no such setting"),
        ("data.min_seconds = -1", "greater than 0"),
        ("privacy.epsilon = 0", "greater than 0"),
        ("privacy.delta = 'nonsense'", "valid number"),
        ("privacy.cohort", "missing"),
        ("anonymize.method = 'robot'", "'mcadams', 'formant', 'cascade', 'resynth' or 'none'"),
        ("audit.confidence = 1", "less than 1"),
        ("speed", "no such setting"),
    )
    assert len(lines) == len(expected)
    for where, what in expected:
        assert any(where in line and what in line for line in lines), where


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("privacy.delta=0.01", "must be below 1/units = 0.0025 (400 units). Lower it."),
        ("privacy.cohort=401", "privacy.cohort = 401 must be at most privacy.units = 400"),
        ("data.source=folder", "data.path is missing"),
        ("data.min_seconds=40", "must be below max_seconds"),
        ("privacy.epsilon=.inf", "finite"),
        ("privacy.epsilon=.nan", "finite"),
        ("privacy.epsilon=-1", "greater than 0"),
        ("privacy.delta=.nan", "less than 1"),
        ("export.override_reason=short", "at least 10"),
        ("anonymize.timing=replaced", "expected anonymize.method = resynth, which alone knows the words; got cascade"),
        ("canary.candidates=39", "greater than or equal to 40"),
        ("canary.references=999", "greater than or equal to 1000"),
        ("canary.repeats=[]", "canary.repeats is empty"),
        ("canary.kinds=[]", "at least 1 item"),
        ("canary.kinds=[songs]", "'words', 'digits' or 'name_address'"),
        ("canary.speeds=[1, 4.5]", "less than or equal to 4"),
        ("canary.placed=anywhere", "'own_unit' or 'spread'"),
        ("canary.placed=real_unit", "'own_unit' or 'spread'"),
        ("canary.command=[say, '{text}']", "with {text} (the words) and {out}"),
        ("canary.recordings={source: folder}", "data.path is missing"),
        ("data.demo.units=0", "greater than or equal to 1"),
        ("seed=1.5", "seed = 1.5"),
    ],
)
def test_values_that_mean_nothing_are_refused(good, override, expected):
    assert expected in refuse(good, override)


def test_one_source_of_canaries_voices(good):
    both = ("canary.command=[say, '{text}', '{out}']", "canary.recordings.path=folder")
    assert "canary.recordings and canary.command are both set" in refuse(good, *both)


def test_the_section_canary_by_itself():
    found = load_canary(["kinds=[words, digits]", "speeds=[1, 4]", "recordings.path=x"])
    assert (found.kinds, found.speeds, found.recordings.path) == (("words", "digits"), (1.0, 4.0), "x")
    with pytest.raises(ConfigError) as error:
        load_canary(["candidates=3", "speed=2", "words"])
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    for line, (where, what) in zip(
        sorted(lines),
        (("canary: candidates = 3", "equal to 40"), ("canary: speed", "no such setting"), ("override 'words'", "key=")),
        strict=True,
    ):
        assert where in line
        assert what in line


NUMBERS = (
    "data.test_fraction",
    "data.min_seconds",
    "data.max_seconds",
    "data.max_quarantined",
    "scrub.min_word_confidence",
    "anonymize.min_confidence",
    "anonymize.max_failed",
    "canary.speeds",
    "canary.command_limit_s",
    "privacy.epsilon",
    "privacy.delta",
    "privacy.clip_norm",
    "privacy.cap_seconds_per_unit",
    "privacy.budget_epsilon",
    "train.learning_rate",
    "train.average_from",
    "train.synthetic_learning_rate",
    "train.replay_fraction",
    "train.baseline_learning_rate",
    "audit.alpha",
    "audit.confidence",
    "export.min_parity",
    "export.max_int8_wer_increase",
    "performance.batch_s",
)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [".nan", "-.inf", ".inf", "-1"])
def test_no_number_may_be_what_is_no_number(good, name, value):
    refuse(good, f"{name}={value}")


def test_every_fractional_setting_is_in_the_list_above():
    sections = PipelineConfig.model_fields
    floats = set()
    for section, field in sections.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for name, inner in field.annotation.model_fields.items():
                if inner.annotation is float or "float" in str(inner.annotation):
                    floats.add(f"{section}.{name}")
    assert floats == set(NUMBERS)


@pytest.mark.parametrize("name", ["privacy.cohort", "privacy.steps", "privacy.epsilon", "seed"])
@pytest.mark.parametrize("value", ["true", "yes", "null", "[1]"])
def test_a_yes_is_not_a_number(good, name, value):
    refuse(good, f"{name}={value}")


def test_overrides_are_read_as_yaml_and_make_sections(good):
    overrides = ["privacy.epsilon=2", "canary.repeats=[1, 2]", "train.base=some/where", "privacy.budget_epsilon=null"]
    found = load(good, overrides)
    assert found.privacy.epsilon == 2
    assert found.canary.repeats == (1, 2)
    assert found.train.base == "some/where"
    assert load(good, ["privacy.epsilon=2", "privacy.epsilon=3"]).privacy.epsilon == 3  # the last one wins
    assert load(good, ["data.path=a=b"]).data.path == "a=b"


@pytest.mark.parametrize("text", ["rec #2", "2024", "yes", "a: b", "[1", "'quoted'", "null/void", "-", "x\\y", ""])
def test_text_is_taken_as_it_stands(good, text):
    assert load(good, [f"data.path={text}"]).data.path == text
    assert load(good, [f"data.text_column={text}"]).data.text_column == text
    assert load(good, [f"canary.recordings.path={text}"]).canary.recordings.path == text


def test_null_is_no_text(good):
    found = load(good, ["data.unit_column=null", "privacy.ledger=null"])
    assert (found.data.unit_column, found.privacy.ledger) == (None, None)


def test_home_is_known_by_its_sign(good, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("data.path", "privacy.ledger", "train.base", "scrub.aligner", "anonymize.aligner", "export.signing_key")
    found = load(good, [f"{name}=~/there" for name in names])
    for name in names:
        section, key = name.split(".")
        assert getattr(getattr(found, section), key) == str(tmp_path / "there"), name


@pytest.mark.parametrize(
    "override", ["privacy.epsilon", "=3", ".epsilon=3", "privacy.=3", "a..b=1", "recipe.x=1", "privacy.epsilon=[1", ""]
)
def test_an_override_of_another_form_is_refused(good, override):
    assert refuse(good, override).startswith(f"override {override!r}")


def test_an_override_that_no_setting_has_is_refused(good):
    assert "privacy.epsilom: no such setting" in refuse(good, "privacy.epsilom=3")


def test_keys_given_twice_are_errors_at_any_depth(tmp_path):
    assert "key 'recipe' is given twice" in refuse(write(tmp_path, GOOD + "recipe: assistant\n"))
    twice = GOOD.replace("epsilon: 8", "epsilon: 8, epsilon: 1")
    assert "key 'epsilon' is given twice" in refuse(write(tmp_path, twice))
    assert "line 4" in refuse(write(tmp_path, twice))


def test_keys_given_twice_in_an_override_are_errors(good):
    refuse(good, "data.demo={units: 10, units: 20}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a mapping of sections, got NoneType"),
        ("- a\n", "got list"),
        ("data: {source: demo}\n", "recipe = None: expected one of assistant, clinic_risk, pretrain"),
        ("recipe: cake\n", "recipe = 'cake'"),
        ("recipe: [assistant]\n", "recipe = ['assistant']"),
        ("recipe: {a: 1}\n", "recipe = {'a': 1}"),
        ("recipe: assistant\ndata: [\n", "not valid YAML"),
        ("recipe: assistant\n? [a]\n: b\n", "not valid YAML"),
        ("recipe: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("recipe: assistant\ndata:\nprivacy: 3\n", "data = None"),
    ],
)
def test_what_is_no_config_says_why(tmp_path, text, expected):
    assert expected in refuse(write(tmp_path, text))


def test_a_file_that_cannot_be_read(tmp_path):
    assert "cannot be read (No such file" in refuse(tmp_path / "gone.yaml")
    assert "cannot be read (Is a directory)" in refuse(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"recipe: caf\xe9\n")
    assert "not valid YAML" in refuse(tmp_path / "latin.yaml")


def test_configs_are_frozen(good):
    with pytest.raises(ValueError, match="frozen"):
        load(good).privacy.epsilon = 100


def test_performance_does_not_change_the_fingerprint(good, tmp_path):
    first = fingerprint(load(good))
    assert len(first) == 8
    assert first == fingerprint(load(good))
    assert first == fingerprint(
        load(good, ["performance.threads=7", "performance.device=cuda", "performance.checkpoint_every=1"])
    )
    pretrain = write(tmp_path, "recipe: pretrain\n")
    assert fingerprint(load(pretrain)) == fingerprint(load(pretrain, ["performance.threads=7"]))


def leaves(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def other(name, value):
    """Another value that is allowed in the place of `value`."""
    by_name = {
        "recipe": None,
        "data.source": "folder",
        "data.channel": "mix",
        "scrub.profile": "hipaa",
        "scrub.terms": ["Zorblax"],
        "scrub.keep": ["Jasper"],
        **{f"scrub.tagger_kinds.{label}": "OTHER" for label in ("PER", "PERSON", "LOC", "GPE")},
        "anonymize.method": "resynth",
        "anonymize.timing": "randomised",
        "train.trainable": "all",
        "train.labels": None,  # goes with another recipe only
        "privacy.delta": 1e-6,
        "privacy.budget_epsilon": 20.0,
        "privacy.sampling": None,  # these two change together only
        "privacy.utterances": None,
        "privacy.cap_seconds_per_unit": 9.5,
        "train.optimizer": "sgd",
        "train.dropout": "family",
        "train.precision": "bf16",
        "export.phrases": None,  # goes with privacy.phrases only
        "export.publisher.sector": "Healthcare",
        "export.override_reason": "a reason that is long enough",
        "canary.repeats": [1, 2],
        "canary.kinds": ["digits"],
        "canary.speeds": [1.0, 4.0],
        "canary.placed": "spread",
        "canary.recordings": {"path": "there"},
        "privacy.phrases": {"epsilon": 1},
        "scrub.redaction": "beep",
        "scrub.mark": "remove",
        "data.unit_names": "as_given",
        "canary.command": ["say", "{text}", "{out}"],
    }
    if name in by_name:
        return by_name[name]
    if isinstance(value, int | float):
        return value + 1 if isinstance(value, int) else value * 0.95
    if isinstance(value, list):
        return [*value, "x"]
    return f"{value or ''}x"


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("scrub.patterns={WARD: 'ward [a-'}", "scrub.patterns.WARD: missing ]"),
        ("scrub.patterns={WARD: '(a)\\1'}", "scrub.patterns.WARD: invalid escape sequence"),
        ("scrub.patterns={WARD: '(?=a)b'}", "scrub.patterns.WARD: invalid perl operator"),
        ("scrub.patterns={WARD: 'a*'}", "scrub.patterns.WARD matches the empty text"),
        ("scrub.patterns={ward: 'a'}", "scrub.patterns.ward"),
        ("scrub.terms=['']", "scrub.terms.0"),
        ("scrub.terms=['...']", "scrub.terms.0"),
        ("scrub.profile=loose", "'default', 'hipaa' or 'strict'"),
    ],
)
def test_what_is_looked_for_is_checked_before_anything_runs(good, setting, what, capfd):
    assert what in refuse(good, setting)
    assert capfd.readouterr().err == ""  # the engine would print the pattern


def test_a_term_is_not_printed_on_the_card(good):
    message = refuse(good, "scrub.terms=[Zorblax, ship]", "export.publisher.name=the zorblax model")
    assert "the gate lets none out" in message
    assert "orblax" not in message
    refuse(good, "scrub.terms=[Zorblax]", "export.override_reason=because of zorblax")
    load(good, ["scrub.terms=[Zorblax, ship]", "export.publisher.name=the shipped model"])


def test_terms_kept_and_removed_are_told_without_their_words(good):
    message = refuse(good, "scrub.terms=[Zorblax, other]", "scrub.keep=[zorblax]")
    assert "share 1 terms" in message
    assert "orblax" not in message


def test_every_other_setting_changes_the_fingerprint(good):
    plain = load(good, ["data.path=here"])
    seen = {fingerprint(plain)}
    changed = 0
    for name, value in leaves(plain.model_dump(mode="json", exclude={"performance"})):
        new = other(name, value)
        if new is not None and name != "export.override_reason":
            seen.add(fingerprint(load(good, ["data.path=here", f"{name}={json.dumps(new)}"])))
            changed += 1
    assert len(seen) == changed + 1
    assert changed > 40


def test_a_reason_to_export_all_the_same_makes_no_other_run(good):
    """The gate asks for it once all is trained: another run would train, and spend, again."""
    reason = ["export.override_reason=a reason that is long enough"]
    assert fingerprint(load(good)) == fingerprint(load(good, reason))


@pytest.mark.parametrize("path", ["./here", "here/", "here/.", ".//here"])
def test_a_folder_has_one_name(good, path):
    assert load(good, [f"data.path={path}"]).data.path == "here"
    assert load(good, ["data.path=some/words"]).data.path == "some/words"


@pytest.mark.parametrize("value", ["-1", ".inf", ".nan", "0"])
def test_phrases_that_cost_nothing_or_everything_are_refused(good, value):
    assert load(good, ["privacy.phrases.epsilon=0.9"]).privacy.phrases.order == 2
    assert "privacy.phrases.epsilon" in refuse(good, f"privacy.phrases.epsilon={value}")


UTTERANCES = ["privacy.sampling=utterances", "privacy.utterances=1600"]


def test_phrases_can_be_shipped_only_if_published_and_short(good):
    published = "privacy.phrases={epsilon: 1, order: 3}"
    assert fingerprint(load(good, [published])) != fingerprint(load(good, [published, "export.phrases=shipped"]))
    assert "export.phrases = shipped: expected privacy.phrases" in refuse(good, "export.phrases=shipped")
    refuse(good, published.replace("3", "4"), "export.phrases=shipped")


def test_drawing_utterances_needs_their_number_and_nothing_else_does(good):
    found = load(good, UTTERANCES)
    assert (found.privacy.sampling_rate, found.privacy.records_per_unit) == (40 / 1600, found.privacy.cap_per_unit)
    assert (load(good).privacy.sampling_rate, load(good).privacy.records_per_unit) == (40 / 400, 1)
    assert fingerprint(found) != fingerprint(load(good))
    assert "privacy.utterances = None: expected a number" in refuse(good, UTTERANCES[0])
    assert "nothing if it is units" in refuse(good, UTTERANCES[1])
    assert "at most privacy.utterances = 30" in refuse(good, UTTERANCES[0], "privacy.utterances=30")


def test_defaults_written_out_are_the_same_config(good, tmp_path):
    whole = load(good).model_dump(mode="json")
    path = tmp_path / "whole.yaml"
    path.write_text(yaml.safe_dump(whole))
    assert fingerprint(load(path)) == fingerprint(load(good))


def test_where_the_file_lies_does_not_matter(good, tmp_path):
    copy = tmp_path / "elsewhere.yaml"
    copy.write_bytes(good.read_bytes())
    assert fingerprint(load(copy)) == fingerprint(load(good))


@given(st.text(max_size=80))
@settings(deadline=None)
def test_no_text_fails_otherwise_than_by_a_config_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text("recipe: assistant\n" + text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError):
        load(path)


@pytest.mark.parametrize("labels", ["[high]", "[low, low]", "[a, b, c]", "[]"])
def test_screening_tells_two_labels_apart(good, labels):
    assert "expected two different ones" in refuse(good, "recipe=clinic_risk", f"train.labels={labels}")
    found = load(good, ["recipe=clinic_risk", "train.labels=[low, high]"])
    assert isinstance(found, PipelineConfig)
    assert found.train.labels == ("low", "high")


def test_labels_are_for_screening_alone(good):
    assert "none with other recipes" in refuse(good, "train.labels=[low, high]")
    screening = ("recipe=clinic_risk", "train.labels=[low, high]", "privacy.phrases={epsilon: 1}")
    assert "labels are no phrases" in refuse(good, *screening)
