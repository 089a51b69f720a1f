"""Load generators, floors and peers: ``python -m bench``."""
