"""What the service's own workflow uploads: a folder with one metadata.json for all its recordings.

Times are local, ``direction_outgoing`` is "0" or "1".
"""

import json

from support.archives import sound
from support.archives.kit import archive, calls


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    days = {}
    for call in calls(count, seed=23):
        day = f"{call.local():%Y-%m-%d}"
        days.setdefault(day, []).extend(_one(made, day, call))
    for day, records in days.items():
        whole = {"source_system_id": "000001", "bucket_folder": day, "metadata": records}
        text = json.dumps(whole, ensure_ascii=False, indent=2)
        made.beside(f"{day}/metadata.json", text, call)
    return made


def _one(made, day, call):
    name = f"call{call.number:04}.mp3"
    record = {
        "id": str(call.number),
        "operator_id": call.operator.extension,
        "operator_name": call.operator.name,
        "client_id": call.client,
        "client_name": call.client_name,
        "date": f"{call.local():%Y-%m-%d %H:%M:%S}",
        "direction_outgoing": "1" if call.outgoing else "0",
        "language": "ru-RU",
        "file_name": name,
    }
    if call.number % 50 == 30:
        made.lost(f"{day}/{name}", sound.mp3(call, 2), call)
        return []
    if call.number % 50 == 31:
        return [record]  # it was never stored
    told = {"client_name": call.client_name}
    made.talk(f"{day}/{name}", sound.mp3(call, 2), call, **told)
    return [record]
