from speechpriv import corpus as corpora
from speechpriv.audit.attacks import membership, stranger


def test_members_are_those_trained_on_and_no_more_are_asked_than_is_said(corpus_dir, monkeypatch):
    """Whoever was dropped before training is no member."""
    people, asked = corpora.read(corpus_dir), []
    told = membership.Told(0.5, 0.4, 0.6, 0.01, 0.1)

    def remember(_model, _base, _people, members, others):
        asked.append((list(members), list(others)))
        return membership.Membership(len(members), len(others), 0, 0, told, told, told, ())

    class Trained:
        def units(self, split):
            return {unit: rows for unit, rows in people.units(split).items() if unit != dropped}

    dropped = next(iter(people.units("train")))
    monkeypatch.setattr(membership, "compare_units", remember)
    found = stranger.infer_membership({"private": None}, None, people, Trained())
    assert asked[0] == (list(Trained().units("train")), list(people.units("test")))
    assert found["private"]["members"] == len(people.units("train")) - 1
    monkeypatch.setattr(stranger, "_PEOPLE", 2)
    stranger.infer_membership({"private": None}, None, people, Trained())
    assert asked[1] == tuple(side[:2] for side in asked[0])
