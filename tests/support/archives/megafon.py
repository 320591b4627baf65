"""MegaFon VATS, and others on its platform: all is in the name.

A login may have ``_`` in it, and a download through the browser leaves ``%2D`` for the dash.
"""

from support.archives import sound
from support.archives.kit import archive, calls, operators


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    for call in calls(count, seed=21):
        _one(made, call)
    made.table("operators.csv", operators("login"))
    return made


def _one(made, call):
    number = call.number
    told = {"operator_id": call.operator.login}
    dash = "%2D" if number % 9 == 4 else "-"
    way = "out" if call.outgoing else "in"
    name = f"{call.operator.login}_{way}_{call.local():%Y_%m_%d}{dash}{call.local():%H_%M_%S}"
    path = f"{call.local():%Y-%m-%d}/{name}_{call.client}_{_tag(call)}.mp3"
    if number % 60 == 10:
        made.lost(f"{call.local():%Y-%m-%d}/запись {number}.mp3", sound.mp3(call), call)
    elif number % 60 == 11:
        made.defect(path, b"", call, "empty")
    else:
        made.talk(path, sound.mp3(call), call, **told)


def _tag(call):
    return f"{call.number * 7919 % 0x10000:04x}"
