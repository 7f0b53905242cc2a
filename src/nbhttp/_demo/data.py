"""The demo API's records: the same on every machine and at every start."""

import bisect
import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

__all__ = ["COLLECTIONS", "NETWORK", "Record", "make_records"]

Record = dict[str, Any]

NETWORK = {
    "name": "Harbour Bikes",
    "town": "Port Elara",
    "motto": "Made up, but it answers like a real one.",
    "centre": {"lat": 54.3213, "lon": 10.1349},
    "since": "2019-05-01",
}
DISTRICTS = {
    "Old Harbour": (54.3250, 10.1420),
    "Saint Anna": (54.3330, 10.1230),
    "Fishmarket": (54.3205, 10.1480),
    "Garden Hill": (54.3120, 10.1180),
    "University": (54.3390, 10.1150),
    "Lighthouse": (54.3450, 10.1620),
    "Railway Yards": (54.3080, 10.1340),
    "Île aux Mouettes": (54.3290, 10.1700),
}
STREETS = [
    "Anchor Street",
    "Baker's Row",
    "Canal Street",
    "Dyers' Lane",
    "Elm Avenue",
    "Ferry Road",
    "Glassmakers' Yard",
    "Herring Quay",
    "Ivy Lane",
    "Juniper Way",
    "King's Bridge",
    "Lantern Street",
    "Mill Road",
    "Net Loft",
    "Orchard Street",
    "Pilot's Walk",
    "Quince Alley",
    "Rope Walk",
    "Sailmakers' Street",
    "Tide Street",
]
PLACES = [
    "North",
    "South",
    "Corner",
    "Steps",
    "Square",
    "Stop",
    "Gate",
    "Park",
    "School",
    "Market",
    "Bridge",
    "Court",
]
MODELS = ("Gull 3", "Gull 3", "Gull 4", "Heron e", "Pelican cargo")
FIRST_NAMES = [
    "Ada",
    "Åsa",
    "Bo",
    "Chloé",
    "Dmitri",
    "Elif",
    "Femi",
    "Grażyna",
    "Hiro",
    "Inês",
    "Jürgen",
    "Kofi",
    "Łucja",
    "Mei",
    "Noor",
    "Óscar",
    "Priya",
    "Quinn",
    "Rosa",
    "Søren",
    "Tariq",
    "Uma",
    "Víctor",
    "Wanjiru",
    "Yara",
    "Zoë",
]
LAST_NAMES = [
    "Andersen",
    "Brandt",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Georgiou",
    "Hansen",
    "Ibrahim",
    "Jensen",
    "Kowalska",
    "Lindqvist",
    "Møller",
    "Nakamura",
    "O'Brien",
    "Petrov",
    "Quintana",
    "Rossi",
    "Schäfer",
    "Tanaka",
    "Usman",
    "Weiß",
]
FAULTS = {
    "puncture": ("rear tube", "front tube"),
    "brakes": ("brake pads", "brake cable"),
    "lights": ("dynamo", "rear light"),
    "gears": ("shifter", "chain"),
    "lock": ("lock motor",),
    "saddle": ("saddle clamp",),
}
START = datetime(2025, 6, 1, 5, 0, tzinfo=UTC)
DAYS = 7
RUSH = (1, 1, 0, 0, 1, 3, 9, 20, 24, 12, 8, 9, 12, 11, 9, 10, 16, 26, 22, 14, 9, 6, 4, 2)
"""How many trips start in each hour of a day, in proportion."""
COUNTS = {"stations": 240, "trips": 600, "bikes": 450, "repairs": 320, "riders": 280}


def iso(moment: datetime) -> str:
    """Return a moment as APIs write it: `2025-06-01T05:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def station(number: int, chance: random.Random) -> Record:
    """Return a place to hire and return bikes; nested, with its state of the moment."""
    district = chance.choice(list(DISTRICTS))
    lat, lon = DISTRICTS[district]
    # 77 and 240 have no common factor: every pair of street and place comes once.
    place, street_index = divmod(77 * number % COUNTS["stations"], len(STREETS))
    street = STREETS[street_index]
    capacity = chance.choice((10, 12, 16, 20, 24, 32))
    bikes = chance.randint(0, capacity)
    return {
        "id": number,
        "name": f"{street} {PLACES[place]}",
        "district": district,
        "address": {
            "street": street,
            "number": chance.randint(1, 180),
            "postcode": f"PE{chance.randint(1, 9)} {chance.randint(10, 99)}",
        },
        "location": {
            "lat": round(lat + chance.gauss(0, 0.004), 5),
            "lon": round(lon + chance.gauss(0, 0.006), 5),
        },
        "capacity": capacity,
        "status": {"bikes": bikes, "docks": capacity - bikes, "online": chance.random() > 0.03},
        "tags": sorted(chance.sample(("covered", "kiosk", "charging", "24h", "tram"), 2)),
        "opened": (START - timedelta(days=chance.randint(30, 2200))).date().isoformat(),
    }


def trip(number: int, chance: random.Random) -> Record:
    """Return one ride from a station to another."""
    started = start_of_trip(number)
    is_member = chance.random() < 0.7
    duration_s = int(chance.lognormvariate(6.6, 0.5))
    return {
        "id": number,
        "bike_id": chance.randint(1, COUNTS["bikes"]),
        "from_station_id": chance.randint(1, COUNTS["stations"]),
        "to_station_id": chance.randint(1, COUNTS["stations"]),
        "started_at": iso(started),
        "ended_at": iso(started + timedelta(seconds=duration_s)),
        "duration_s": duration_s,
        "distance_m": int(duration_s * chance.uniform(2.4, 5.1)),
        "member": is_member,
        "price_cents": None if is_member else 100 + 15 * (duration_s // 60),
    }


def start_of_trip(number: int) -> datetime:
    """Return when a trip starts: in the order of the ids, denser in the rush hours."""
    each_day = COUNTS["trips"] / DAYS
    day, rank = divmod(number - 1, each_day)
    until = list(itertools.accumulate(RUSH))
    target = rank / each_day * until[-1]
    hour = bisect.bisect_right(until, target)
    passed = (target - (until[hour] - RUSH[hour])) / RUSH[hour]
    return START.replace(hour=0) + timedelta(days=day, hours=hour + passed)


def bike(number: int, chance: random.Random) -> Record:
    """Return one bike of the fleet."""
    model = chance.choice(MODELS)
    return {
        "id": number,
        "model": model,
        "battery_percent": chance.randint(8, 100) if model == "Heron e" else None,
        "station_id": chance.choice((None, chance.randint(1, COUNTS["stations"]))),
        "distance_km": round(chance.uniform(40, 9000), 1),
    }


def repair(number: int, chance: random.Random) -> Record:
    """Return one visit to the workshop."""
    fault = chance.choice(list(FAULTS))
    return {
        "id": number,
        "bike_id": chance.randint(1, COUNTS["bikes"]),
        "fault": fault,
        "part": chance.choice(FAULTS[fault]),
        "minutes": chance.randint(5, 90),
        "reported_at": iso(START + timedelta(hours=2 * number)),
        "done": chance.random() < 0.85,
    }


def rider(number: int, chance: random.Random) -> Record:
    """Return one customer, with a name that tests encodings."""
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    return {
        "id": number,
        "name": f"{first} {last}",
        "email": f"rider{number}@example.org",
        "joined": (START - timedelta(days=chance.randint(1, 2000))).date().isoformat(),
        "plan": chance.choice(("day", "month", "year")),
        "home_district": chance.choice(list(DISTRICTS)),
    }


COLLECTIONS: dict[str, Callable[[int, random.Random], Record]] = {
    "stations": station,
    "trips": trip,
    "bikes": bike,
    "repairs": repair,
    "riders": rider,
}


@cache
def make_records(name: str) -> tuple[Record, ...]:
    """Return the records of a collection, by id from 1; shared, so copy before changing one."""
    chance = random.Random(f"nbhttp demo {name}")  # noqa: S311 - the same data every time
    return tuple(COLLECTIONS[name](number, chance) for number in range(1, COUNTS[name] + 1))
