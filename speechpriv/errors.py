"""Everything speechpriv raises on purpose.

    SpeechprivError
    ├── ConfigError       a config, an override or a call's argument is wrong
    ├── DataError         a corpus, an audio file or a metadata row cannot be used
    ├── ModelError        a recogniser cannot be loaded, trained or exported
    ├── StageError        a stage's inputs are missing, or its directory is not whole
    ├── BudgetError       a run would exceed the privacy budget of a corpus; raised before it starts
    ├── LedgerError       the privacy ledger is damaged or was altered
    ├── AuditError        an audit cannot be carried out as asked
    └── GateError         the export gate refuses a model

Messages say what, where, got, expected and what to do. They hold ids and counts, never a
transcript, a name or a secret.
"""


class SpeechprivError(Exception):
    """The root: catching it catches every error that speechpriv raises on purpose."""


class ConfigError(SpeechprivError):
    """A config, an override or an argument is wrong; the message lists every problem found."""


class DataError(SpeechprivError):
    """A corpus, an audio file or a metadata row cannot be used."""


class ModelError(SpeechprivError):
    """A recogniser cannot be loaded, trained or exported."""


class StageError(SpeechprivError):
    """A stage's inputs are missing, or its directory is not whole."""


class BudgetError(SpeechprivError):
    """A run would exceed the privacy budget of a corpus."""


class LedgerError(SpeechprivError):
    """The privacy ledger is damaged or was altered."""


class AuditError(SpeechprivError):
    """An audit cannot be carried out as asked."""


class GateError(SpeechprivError):
    """The export gate refuses a model."""
