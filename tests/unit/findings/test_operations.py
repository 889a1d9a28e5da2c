"""What failed inside of an open socket: whose it is, what is quoted of it, and what is no secret's place."""

import pytest

from tests.unit.findings.facts_made import ended
from tests.unit.findings.triggers_apps import _graphql, _said
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.quotes import masked
from wsinspect.findings.registry import diagnose_connection


def found_in(facts, rule):
    return next(one for one in diagnose_connection(facts) if one.id == rule)


#: As graphql-ws, subscriptions-transport-ws and AppSync say it.
ERRORS = [
    (
        '{"id":"1","type":"error","payload":[{"message":"Cannot query field \\"x\\" on type"}]}',
        "client",
        "schema",
    ),
    (
        '{"id":"1","type":"error","payload":[{"message":"Variable \\"$id\\" of required type"}]}',
        "client",
        "schema",
    ),
    ('{"id":"1","type":"error","payload":{"message":"Not authorized"}}', "client", "credentials"),
    (
        '{"id":"1","type":"error","payload":{"message":"Cannot read properties of undefined"}}',
        "server",
        "log",
    ),
    ('{"id":"1","type":"error","payload":{"message":"Unexpected token < in JSON"}}', "server", "log"),
    ('{"id":"1","type":"next","payload":{"errors":[{"message":"the database is gone"}]}}', "server", "log"),
]


@pytest.mark.parametrize(("said", "fault_of", "fix"), ERRORS)
def test_only_a_query_that_does_not_fit_and_missing_credentials_are_the_client_s(said, fault_of, fix):
    found = found_in(_graphql(1000, "", "graphql-transport-ws", (S2C, 0.1, said)), "WS-APP-018")
    assert found.fault_of == fault_of
    assert any(fix in one.text for one in found.fixes)


def test_of_a_message_with_many_records_the_one_that_failed_is_quoted():
    before = '{"type":1,"target":"news","arguments":["' + "x" * 300 + '"]}\x1e'
    failed = '{"type":3,"invocationId":"7","error":"it threw"}\x1e'
    hub = (C2S, 0.1, '{"protocol":"json","version":1}\x1e')
    found = found_in(ended(*_said(hub, (S2C, 0.2, before + failed))), "WS-APP-024")
    assert found.evidence[0] == "s>c " + failed.rstrip("\x1e")


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_token_in_json_that_is_quoted_in_json_is_not_printed(depth):
    quote = "\\" * depth + '"'
    line = '{"identifier":"{Qchannel": "Chat",QtokenQ:QhunterQ,Qpasswordq":5}'.replace("Q", quote)
    assert "hunter" not in masked(line)
    assert '"identifier"' in masked(line)
