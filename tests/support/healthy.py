"""Every session that a test records and that is healthy by its plain facts must be without findings.

`Engine.stop` looks at each capture. Healthy is judged here without the rules: a correct handshake, frames
that break nothing, answered pings, and a closing handshake with an ordinary code.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from wsinspect.diagnosis.facts import FactReader
from wsinspect.findings.registry import diagnose_connection

_HEALTHY = """
SELECT connection.id FROM connection JOIN handshake ON connection_id = connection.id
WHERE state = 'closed' AND status = 101 AND how = 'close-frame' AND js_was_clean = 1 AND problems = '[]'
    AND client_close_reason IS NOT NULL AND server_close_reason IS NOT NULL
    AND coalesce(client_close_code, 1000) IN (1000, 1001)
    AND coalesce(server_close_code, 1000) IN (1000, 1001)
    AND NOT (ended_by = 'server' AND server_close_code = 1001)
    AND NOT (ended_by = 'server' AND s2c_frames = 1 AND c2s_frames <= 2)
    AND (informational IS NULL OR CAST(informational AS TEXT) NOT LIKE '% 103 %')
    AND coalesce(json_extract(server_tls, '$.verify_error'), '') = ''
    AND NOT (coalesce(client_tls, '') LIKE '%"h2"%')
    AND NOT EXISTS (SELECT 1 FROM frame WHERE connection_id = connection.id AND violation IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM stored_message WHERE connection_id = connection.id AND problem IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM opaque WHERE connection_id = connection.id)
    AND NOT EXISTS (SELECT 1 FROM ping WHERE connection_id = connection.id AND pong_frame IS NULL)
    AND NOT EXISTS (SELECT 1 FROM event WHERE connection_id = connection.id
        AND kind IN ('stalled', 'early_data'))
    AND NOT EXISTS (SELECT 1 FROM fault_event WHERE connection_id = connection.id)
    AND (subprotocol IS NOT NULL OR CAST(request_in AS TEXT) NOT LIKE '%sec-websocket-protocol:%')
"""
#: Of more connections so many are looked at, from the first to the last: thousands of them are alike.
_MOST = 400
#: Applications say of themselves that something failed, on connections that are healthy.
_SAID_BY_APPLICATIONS = frozenset(
    {
        *("WS-APP-007", "WS-APP-009", "WS-APP-018", "WS-APP-021", "WS-APP-022", "WS-APP-023"),
        *(
            "WS-APP-024",
            "WS-APP-030",
            "WS-APP-032",
            "WS-APP-040",
            "WS-APP-042",
            "WS-APP-055",
            "WS-APP-056",
            "WS-CL-033",
        ),
    }
)


def healthy_with_findings(path: Path) -> list[str]:
    """What is wrongly said of the healthy connections of a capture; empty is right."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        numbers = [row[0] for row in database.execute(_HEALTHY)]
        reader = FactReader(lambda sql, parameters: database.execute(sql, parameters).fetchall())
        wrong = []
        for number in numbers[:: 1 + len(numbers) // _MOST]:
            facts = reader.connection(number)
            found = diagnose_connection(facts) if facts is not None else []
            wrong += [
                f"#{number} {one.id}: {one.evidence}" for one in found if one.id not in _SAID_BY_APPLICATIONS
            ]
        return wrong
    except sqlite3.DatabaseError:
        return []  # moved, evicted, or left to the next reader by the test itself
    finally:
        database.close()
