"""The 16-bit hash of a file name that the sideband database keeps beside it."""

WORD = 0xFFFFFFFF


def name_hash(name: bytes) -> int:
    """Return the name_hash of *name*, the last component of a path."""
    if len(name) <= 2:
        return 0
    words = [_word(name[start : start + 4]) for start in range(0, len(name), 4)]
    first, second = _xor(words[0::2]), _xor(words[1::2])
    total = (first - 1) * 7 + (first >> 8) - 1
    for part in (first >> 16, first >> 24, second, second >> 8, second >> 16, second >> 24):
        total = (total & WORD) * 7 + part - 1
    total &= WORD
    return (total & 0xFFFF) | (total >> 16)


def _word(four: bytes) -> int:
    """Return up to four bytes as a big-endian word; a byte over 127 is a negative number there, as C's char was."""
    word = 0
    for position, byte in enumerate(four):
        signed = byte - 256 if byte > 127 else byte
        word |= (signed << (24 - 8 * position)) & WORD
    return word


def _xor(words: list[int]) -> int:
    result = 0
    for word in words:
        result ^= word
    return result
