"""The public name of what voices/reid.py defines."""

from speechpriv.audit.voices.reid import equal_error_rate

__all__ = ["equal_error_rate"]
