"""What the page says of attackers on the voices."""

import pytest

from speechpriv.report import disguises, page


@pytest.fixture
def told(synthetic):
    return disguises.build_section(synthetic())


def test_each_attacker_has_its_rates_and_intervals(told):
    assert [row[0] for row in told["voice_rows"]] == [
        "without a disguise", "ignorant of the disguise", "lazy-informed", "semi-informed"
    ]  # fmt: skip
    assert told["voice_rows"][3][1:] == ("2.2 % (1.8 to 2.7)", "2.2 % (1.8 to 2.7)", "97.8 %")
    assert told["voice_linked"] == "11.0 % (9.0 to 13.0)"
    assert not told["voice_weak"]


def test_the_picture_has_each_and_the_guess(told):
    assert told["voices"].rows[0] == ("without a disguise", "1.0 % (0.8 to 1.2)")
    assert told["voices"].rows[-1] == ("guessing", "50 %")


def test_attackers_too_weak_to_conclude_are_said_so_everywhere(synthetic):
    weak = synthetic().voices
    for name in ("undisguised", "semi_informed"):
        weak[name]["pooled"]["too_weak"] = True
    told = disguises.build_section(synthetic(voices=weak))
    assert told["voice_rows"][3][2] == "2.2 % (1.8 to 2.7), too weak"
    assert "cannot tell people apart even without a disguise" in page.render_page(synthetic(voices=weak))


def test_a_corpus_of_few_people_is_said_so(synthetic):
    told = disguises.build_section(
        synthetic(voices={"method": "cascade", "not_measured": "5 people; expected 20 at least"})
    )
    assert (told["voice_rows"], told["voices"]) == ([], None)
    assert "Not measured. 5 people; expected 20" in page.render_page(
        synthetic(voices={"not_measured": "5 people; expected 20"})
    )


def test_methods_are_compared_by_the_stronger_voiceprint(synthetic):
    stronger, weaker = (dict(one) for one in synthetic().disguises[:2])
    weaker["semi_informed"] = synthetic().disguises[-1]["semi_informed"]
    plot = disguises.build_section(synthetic(disguises=[weaker, stronger]))["disguises"]
    assert plot.rows == (("1 none", "0.9 % (0.7 to 1.1), WER 31.0 %"),)


def test_methods_stand_by_what_they_cost(told):
    assert [row[0] for row in told["disguises"].rows] == ["1 none", "2 mcadams", "3 resynth"]
    assert len(told["disguise_rows"]) == 6
    assert told["disguise_rows"][-1][:2] == ("resynth", "network")


def test_nothing_measured_is_nothing_said(synthetic):
    told = disguises.build_section(synthetic(voices={}, disguises=[]))
    assert (told["voice_rows"], told["voices"], told["disguises"], told["disguise_rows"]) == ([], None, None, [])
