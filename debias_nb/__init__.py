"""Measure and remove social bias in language models. `from debias_nb.all import *` gives the names that matter first."""

__version__ = "0.2.0"


def __getattr__(name: str):
    if name.startswith("_"):
        raise AttributeError(f"module 'debias_nb' has no attribute {name!r}")
    import importlib

    everything = importlib.import_module("debias_nb.all")
    if name in everything.__all__:
        return getattr(everything, name)
    raise AttributeError(f"debias_nb does not export {name!r}. It exports: {', '.join(everything.__all__)}")
