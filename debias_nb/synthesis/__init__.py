"""Who may be stereotyped, and what is said?"""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
