"""The public name of what inference/onerun.py defines."""

from speechpriv.audit.inference.onerun import epsilon_lower_bound, mu_lower_bound

__all__ = ["epsilon_lower_bound", "mu_lower_bound"]
