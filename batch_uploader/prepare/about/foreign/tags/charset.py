"""The text of tags that do not say their encoding, or say Latin-1 and mean another one."""

from batch_uploader.prepare.sidecar import encoding


def text_of(data: bytes) -> str:
    """UTF-8 if it is valid, else the Cyrillic encoding if that is clear, else Windows-1252."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        found = encoding.of(data)
        return data.decode(found.codec if found else "cp1252", "replace")
