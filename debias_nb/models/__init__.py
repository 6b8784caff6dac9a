"""How do I talk to any language model?"""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
