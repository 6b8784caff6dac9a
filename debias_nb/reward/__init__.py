"""How good is this answer, on which axis?"""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
