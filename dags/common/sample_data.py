"""Makes rows from a day alone: the same day gives the same rows, so that a retry changes nothing."""

from __future__ import annotations

import random

COUNTRIES = ("CH", "DE", "FR", "IT", "AT")
CURRENCIES = {"CH": "CHF", "DE": "EUR", "FR": "EUR", "IT": "EUR", "AT": "EUR"}


def orders(day: str, count: int = 200) -> list[dict]:
    """Orders of one day, amounts in cents."""
    chance = random.Random(f"orders {day}")
    rows = []
    for number in range(count):
        country = chance.choice(COUNTRIES)
        rows.append(
            {
                "order_id": f"{day}-{number:05}",
                "day": day,
                "customer_id": chance.randrange(1, 60),
                "country": country,
                "currency": CURRENCIES[country],
                "amount": chance.randrange(500, 50_000),
            }
        )
    return rows


def rates(day: str, currencies: list[str]) -> list[dict]:
    """What one euro buys of each currency on a day."""
    chance = random.Random(f"rates {day}")
    return [
        {"day": day, "currency": currency, "rate": round(chance.uniform(0.8, 1.3), 4)}
        for currency in currencies
    ]
