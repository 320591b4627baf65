"""Ogg files taken apart into pages and packets, and put together otherwise, with checksums."""

import struct


def _table():
    for number in range(256):
        crc = number << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        yield crc & 0xFFFFFFFF


_CRC = tuple(_table())


def checked(page):
    """The page with the checksum of its content."""
    blank = page[:22] + bytes(4) + page[26:]
    crc = 0
    for byte in blank:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def pages(data):
    """The pages of a file."""
    found, at = [], 0
    while at < len(data):
        body = at + 27 + data[at + 26]
        end = body + sum(data[at + 27 : body])
        found.append(data[at:end])
        at = end
    return found


def packets(data):
    """The packets of a file of one stream, without the two headers."""
    found, packet = [], b""
    for page in pages(data):
        lacing = page[27 : 27 + page[26]]
        at = 27 + len(lacing)
        for length in lacing:
            packet += page[at : at + length]
            at += length
            if length < 255:
                found.append(packet)
                packet = b""
    return found[2:]


def position(page):
    """The position of the page, in samples."""
    return struct.unpack_from("<q", page, 6)[0]


def with_positions(data, change):
    """The file with the positions of its audio pages changed: ``change(number, position)``."""
    headers, audio = pages(data)[:2], pages(data)[2:]
    for number, page in enumerate(audio):
        moved = struct.pack("<q", change(number, position(page)))
        audio[number] = checked(page[:6] + moved + page[14:])
    return b"".join(headers + audio)


def without_end_mark(data):
    """The file with its last page not marked as the last."""
    whole = pages(data)
    whole[-1] = checked(whole[-1][:5] + bytes([whole[-1][5] & ~4]) + whole[-1][6:])
    return b"".join(whole)


def side_by_side(*streams):
    """The pages of these files in turn, as two tracks in one file."""
    apart = []
    for serial, data in enumerate(streams, 1):
        apart.append(
            [checked(page[:14] + struct.pack("<I", serial) + page[18:]) for page in pages(data)]
        )
    heads = [stream[0] for stream in apart] + [stream[1] for stream in apart]
    most = max(map(len, apart))
    rest = [stream[n] for n in range(2, most) for stream in apart if n < len(stream)]
    return b"".join(heads + rest)
