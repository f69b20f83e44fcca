"""Prompts of the telephone exchange Asterisk: rules for speaker and language, for tasks 2, 10 and 11."""

import re

from .recordings import Recording

PACKAGES = (
    "asterisk-core-sounds-en",
    "asterisk-core-sounds-es",
    "asterisk-core-sounds-fr",
    "asterisk-core-sounds-it",
    "asterisk-core-sounds-ru",
    "asterisk-prompt-es-co",
    "asterisk-prompt-fr-armelle",
    "asterisk-prompt-it-menardi",
)


def language(recording: Recording) -> str:
    """The two-letter code in the package's name."""
    return re.split("-(?:sounds|prompt)-", recording.package)[1][:2]


def voice(recording: Recording) -> str:
    """The speaker, from a folder such as en_US_f_Allison; Allison speaks both English and Spanish."""
    match = re.search(r"/[a-z]{2}_[A-Z]{2}_[mf]_(\w+)/", recording.path)
    return match[1].lower() if match else re.split("-(?:sounds|prompt)-", recording.package)[1]
