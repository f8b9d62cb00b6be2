import stat

import pytest

from speechpriv.audit import record
from speechpriv.audit.record import Past
from speechpriv.errors import AuditError


@pytest.fixture
def path(tmp_path):
    return tmp_path / record.NAME


def test_all_audits_together_spend_no_more_than_alpha():
    shares = [Past(number).share(0.04) for number in range(1, 1000)]
    assert shares[0] == 0.02
    assert sum(shares) < 0.04
    assert sum(shares) > 0.039
    assert sorted(shares, reverse=True) == shares


def test_every_other_audit_counts(path):
    assert record.find_past(path, "canaries", "first") == Past(1)
    record.add_audit(path, "canaries", "first", "FAIL")
    assert record.find_past(path, "canaries", "second") == Past(2, ("FAIL",))
    record.add_audit(path, "canaries", "second", "PASS")
    assert record.find_past(path, "canaries", "third") == Past(3, ("FAIL", "PASS"))


def test_the_same_audit_again_is_no_other(path):
    """A run that is killed between record and verdict, and taken up again."""
    for audit, word in (("first", "FAIL"), ("second", "PASS"), ("first", "FAIL")):
        record.add_audit(path, "canaries", audit, word)
    assert record.find_past(path, "canaries", "first") == Past(1)
    assert record.find_past(path, "canaries", "second") == Past(2, ("FAIL",))
    assert record.find_past(path, "canaries", "third").number == 3


def test_other_canaries_have_their_own_alpha(path):
    record.add_audit(path, "canaries", "first", "FAIL")
    assert record.find_past(path, "others", "first") == Past(1)
    record.add_audit(path, "others", "first", "PASS")
    assert record.find_past(path, "canaries", "second") == Past(2, ("FAIL",))


def test_an_audit_is_known_by_its_parts():
    known = record.identify_audit(models=["a", "b"], settings={"alpha": 0.04})
    assert known == record.identify_audit(settings={"alpha": 0.04}, models=["a", "b"])
    assert known != record.identify_audit(models=["b", "a"], settings={"alpha": 0.04})
    assert known != record.identify_audit(models=["a", "b"], settings={"alpha": 0.05})


def test_nobody_else_may_look(path):
    record.add_audit(path, "canaries", "first", "PASS")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "not json", "[]", "3", '{"canaries": []}', '{"canaries": {"first": 1}}'])
def test_a_damaged_record_is_not_taken_for_none(path, content):
    path.write_text(content)
    with pytest.raises(AuditError, match="not a record of audits"):
        record.find_past(path, "canaries", "first")
    with pytest.raises(AuditError):
        record.add_audit(path, "canaries", "first", "PASS")
    assert path.read_text() == content
