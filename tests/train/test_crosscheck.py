import pytest

from speechpriv.train import accounting, crosscheck


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "records"),
    [
        (0.1, 0.7, 40, 1),
        (0.02, 1.0, 500, 1),
        (0.5, 3.0, 20, 1),
        (0.1, 0.9, 40, 2),
        (0.02, 1.0, 1000, 16),
        (0.5, 30.0, 40, 8),
        (1.0, 8.0, 10, 4),
        (1e-4, 5.0, 100, 500),
    ],
)
def test_two_accountants_agree(rate, sigma, steps, records):
    run = {"sampling_rate": rate, "noise_multiplier": sigma, "steps": steps, "delta": 1e-5, "records": records}
    theirs = crosscheck.second_opinion(**run)
    allowed = 0.02 if records == 1 else 0.003
    assert accounting.epsilon(**run) == pytest.approx(theirs, rel=allowed)
    wrong = accounting.epsilon(**run | {"noise_multiplier": 0.95 * sigma})
    assert wrong != pytest.approx(theirs, rel=allowed)


def test_they_agree_where_everyone_is_in_every_cohort():
    run = {"sampling_rate": 1.0, "noise_multiplier": 3.46, "steps": 60, "delta": 191**-1.1}
    assert accounting.epsilon(**run) == pytest.approx(crosscheck.second_opinion(**run), rel=0.02)


def test_a_small_epsilon_is_nothing_to_be_warned_of():
    run = {"sampling_rate": 0.5, "noise_multiplier": 66.0, "steps": 40, "delta": 1e-6}
    assert crosscheck.second_opinion(**run) == pytest.approx(accounting.epsilon(**run) + 0.01, abs=1e-3)


def test_epsilons_in_the_thousands_and_near_zero():
    run = {"sampling_rate": 512 / 28_539, "noise_multiplier": 1.0, "steps": 1000, "delta": 1e-5, "records": 113}
    assert crosscheck.second_opinion(**run) == pytest.approx(accounting.epsilon(**run), rel=2e-3)
    quiet = run | {"noise_multiplier": 1e4, "steps": 10, "records": 4}
    assert crosscheck.second_opinion(**quiet) == pytest.approx(accounting.epsilon(**quiet), abs=1e-3)


@pytest.mark.parametrize(("records", "sigma"), [(1, 3.0), (4, 8.0)])
def test_they_agree_on_a_training_beside_a_table_of_phrases(records, sigma):
    run = {"sampling_rate": 0.5, "noise_multiplier": sigma, "steps": 20, "records": records}
    theirs = crosscheck.second_opinion(**run, delta=1e-5, beside=1 / 1.3)
    training = accounting.build_event(*run.values())
    assert accounting.epsilon_of([accounting.build_event(1.0, 1.3, 1, slip=1e-6), training], 1.1e-5) == pytest.approx(
        theirs, rel=0.02 if records == 1 else 0.003
    )
    assert theirs > crosscheck.second_opinion(**run, delta=1e-5)
