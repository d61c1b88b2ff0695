"""The journal's frames, as src/agent/write/journal/journal.hpp describes them; written anew here so that a mistake there is seen."""

import struct

HEADER = struct.Struct("<QQQQQIIiIII")  # magic, payload bytes, journal, at, durable, payload CRC, kind, rank, reserved twice, header CRC
MAGIC = 0x33656D6172667067
HEAD, COLUMNS, BATCH, RESUMED, MODEL, UNDO, CHANGING, SETTLED = range(1, 9)

_table = []
for _byte in range(256):
    for _ in range(8):
        _byte = (_byte >> 1) ^ (0x82F63B78 if _byte & 1 else 0)
    _table.append(_byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frames(data):
    """(place, kind, payload's place, its length) of each frame, up to the first that is not whole."""
    at, found = 0, []
    while at + HEADER.size <= len(data):
        magic, size, _, place, _, _, kind, *_ = HEADER.unpack_from(data, at)
        if magic != MAGIC or place != at or at + HEADER.size + size > len(data):
            break
        found.append((at, kind, at + HEADER.size, size))
        at += HEADER.size + (size + 63) // 64 * 64
    return found


def repair(data, at):
    """Makes a changed frame of the bytearray `data` look whole: both CRCs."""
    values = list(HEADER.unpack_from(data, at))
    payload = bytes(data[at + HEADER.size:at + HEADER.size + values[1]])
    values[5], values[10] = crc32c(payload), 0
    values[10] = crc32c(HEADER.pack(*values))
    HEADER.pack_into(data, at, *values)
