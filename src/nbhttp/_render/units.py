"""Numbers as people read them."""

__all__ = ["bytes_text", "count", "seconds_text"]


def count(number: int, noun: str, plural: str = "") -> str:
    """Return "1 key", "2 keys", "1,000,000 entries".

    Examples:
        >>> count(1, "key"), count(1200, "entry", "entries")
        ('1 key', '1,200 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def bytes_text(size: int) -> str:
    """Return a size with three digits: "0 bytes", "812 bytes", "12.4 KB", "1.02 GB".

    Units are decimal, as in the rest of the world of networks.

    Examples:
        >>> bytes_text(812), bytes_text(12_400), bytes_text(999_999)
        ('812 bytes', '12.4 KB', '1.00 MB')
    """
    if size < 1000:
        return count(size, "byte")
    amount = float(size)
    unit = "bytes"
    for unit in ("KB", "MB", "GB", "TB", "PB"):  # noqa: B007 - the unit it stopped at
        amount /= 1000
        if amount < 999.5:
            break
    return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a duration with the digits that matter: "0.4 ms", "84 ms", "1.25 s", "3 min 20 s".

    Examples:
        >>> seconds_text(0.00042), seconds_text(0.084), seconds_text(200)
        ('0.4 ms', '84 ms', '3 min 20 s')
    """
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
