"""How biased is it, and how sure are we?"""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
