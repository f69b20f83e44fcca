"""Licences as the Hub names them."""

from ..errors import StoreError

# The identifiers of https://huggingface.co/docs/hub/repositories-licenses under which weights are published.
KNOWN = (
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "isc",
    "cc0-1.0",
    "unlicense",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "mpl-2.0",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl-2.1",
    "lgpl-3.0",
    "agpl-3.0",
    "artistic-2.0",
    "openrail",
)
SUFFIXES = ("-only", "-or-later")  # of SPDX; the Hub leaves them out


def identifier(stated: str, chosen: str | None = None) -> str:
    """The Hub's identifier of a licence.

    Args:
        stated: what the weight file's header says, such as "Apache-2.0".
        chosen: what the user says, for a file that does not state a licence.
    """
    own, asked = _known(stated), None if chosen is None else _known(chosen)
    if chosen is not None and asked is None:
        raise StoreError(f"licence {chosen!r} is not one that the Hub knows: choose from {', '.join(KNOWN)}")
    if own is None and asked is None:
        raise StoreError(
            f"the file's licence is {stated!r}, which the Hub does not know: find out what the weights "
            "may be used for, then pass --licence, such as --licence cc-by-4.0"
        )
    if own is not None and asked is not None and own != asked:
        raise StoreError(f"the file says that its licence is {stated}: leave --licence {chosen} out")
    return str(own or asked)


def _known(text: str) -> str | None:
    name = text.strip().lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name if name in KNOWN else None
