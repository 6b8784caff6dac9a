"""How do several rewards change a policy?"""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
