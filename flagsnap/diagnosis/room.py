"""What is said of room on disks, in bytes."""

from dataclasses import dataclass

from flagsnap.diagnosis.values import Finding

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Disk:
    """Room where something is to be written."""

    place: str
    free: int


def server_disk(database: int, disk: Disk | None) -> Finding:
    """A second copy is as large as the first at most; None where the server's disk cannot be seen from here."""
    if disk is None:
        found = f"{size(database)} must be free for a restore; the server's disk cannot be seen from here"
        return Finding("server disk", "advice", found, "look at the free storage of the database server")
    return _room("server disk", database, disk, "free space on the database server, or give it a larger disk")


def store_disk(newest: int | None, disk: Disk | None) -> Finding:
    """`newest` is the size of the newest snapshot; None for `disk` where the store is a bucket."""
    if disk is None:
        return Finding("store disk", "ok", "the store is a bucket")
    if newest is None:
        return Finding("store disk", "ok", f"{size(disk.free)} are free in {disk.place}; nothing was captured yet")
    return _room("store disk", newest, disk, "`flagsnap prune` shows what can go; or give the store a larger disk")


def scratch_disk(newest: int | None, disk: Disk | None) -> Finding:
    """`newest` is the size of the newest snapshot; None for `disk` where the store is a folder."""
    if disk is None:
        return Finding("scratch disk", "ok", "not needed: the store is a folder")
    if newest is None:
        return Finding("scratch disk", "ok", f"{size(disk.free)} are free in {disk.place}; nothing was captured yet")
    return _room("scratch disk", newest, disk, "point TMPDIR to a larger disk, or free space there")


def size(amount: int) -> str:
    """Bytes for people, in decimal units."""
    value, unit = float(amount), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{1 if unit else 0}f} {_UNITS[unit]}"


def _room(name: str, needed: int, disk: Disk, mend: str) -> Finding:
    said = f"{size(needed)} needed, {size(disk.free)} free in {disk.place}"
    return Finding(name, "ok", said) if disk.free >= needed else Finding(name, "failed", said, mend)
