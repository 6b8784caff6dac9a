"""Does learning to reason make it fairer?"""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
