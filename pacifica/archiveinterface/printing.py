"""Text that comes from outside, such as file names, made printable on one line of a terminal or a log."""


def printable(text: str) -> str:
    r"""Return *text* with an escape for each character that is not printable: ``\n``, ``\x1b``, ``\u202e``.

    A byte of a file name that is not UTF-8, which Python keeps as a surrogate, becomes ``\xNN``.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isascii():
        return character.encode("unicode_escape").decode()
    return f"\\u{ord(character):04x}"
