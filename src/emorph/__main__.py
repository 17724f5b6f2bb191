"""``python -m emorph`` is the command ``emorph``."""

from emorph.cli.main import main

main()
