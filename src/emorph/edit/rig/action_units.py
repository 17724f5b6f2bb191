"""Action units as a user writes them."""

from __future__ import annotations

from emorph.core.action_units import unit_code
from emorph.core.errors import ConfigError
from emorph.face3d.action_units import check_numbers


def parse_units(text: str) -> dict[str, float]:
    """ "mouthSmile_L=0.8,AU26=0.5" as names and values 0..1, as they were written.

    Raises ConfigError, also for a number that FACS has not.

    >>> parse_units("mouthSmile_L=0.8, AU26=0.5")
    {'mouthSmile_L': 0.8, 'AU26': 0.5}
    """
    asked: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not name or not 0 <= number <= 1:
            example = f"{name}=0.8" if unit_code(name) else "jawOpen=0.8"
            raise ConfigError(f"--au {part!r} is not an action unit with a value from 0 to 1, as in {example}.")
        if name in asked:
            raise ConfigError(f"--au names {name} twice; give each action unit one value.")
        asked[name] = number
    check_numbers(asked)
    if not asked:
        raise ConfigError("--au lists no action units; write, for example, mouthSmile_L=0.8,jawOpen=0.3.")
    return asked
