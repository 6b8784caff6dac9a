"""Judges that took no part in training, and their check against people."""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
