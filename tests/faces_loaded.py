"""Importing it reads what finds faces, which takes half a second: for a server whose forks then have it (forked.py)."""

from __future__ import annotations

import threading

from emorph.faces.hog import _detector
from emorph.faces.points import _predictor

_detector(threading.get_ident())  # forks keep this thread's number
_predictor()
