from xml.etree import ElementTree

from wsinspect.clients.expectations import Expectation, Result
from wsinspect.present.checks import check_lines, github_lines, junit, summary

RESULTS = [
    Result(
        expectation=Expectation(key="sends", value="x", text='sends: json:$.a="1", <&>\x1b', line=7),
        session=3,
        held=False,
        seen="sent 0 times, 100%\nx",
        connections=(3,),
        frames=(9,),
    ),
    Result(
        expectation=Expectation(key="jitter", value=True, text="jitter: true"),
        session=3,
        held=None,
        seen="no",
    ),
    Result(expectation=Expectation(key="x", value=1, text="x: 1"), session=None, held=True, seen="fine"),
]


def test_junit_has_a_case_for_each_expectation_and_client():
    root = ElementTree.fromstring(junit("s.yaml", [(5, RESULTS, ""), (6, [], "no client came")]))
    suites = root.findall("testsuite")
    assert [(one.get("name"), one.get("tests"), one.get("failures")) for one in suites] == [
        ("s.yaml seed 5", "3", "2"),
        ("s.yaml seed 6", "1", "1"),
    ]
    names = [case.get("name") for case in suites[0].findall("testcase")]
    assert names == ['sends: json:$.a="1", <&>� (client 3)', "jitter: true (client 3)", "x: 1"]
    failure = suites[0].find("testcase/failure")
    assert failure is not None
    assert "connection 3, frame 9" in str(failure.text)


def test_github_annotations_are_one_line_each():
    lines = list(github_lines("a,b.yaml", RESULTS))
    assert len(lines) == 2
    assert lines[0].startswith("::error file=a%2Cb.yaml,line=7,title=failed%3A sends%3A ")
    assert lines[0].endswith("::client 3: sent 0 times, 100%25%0Ax")
    assert all("\n" not in line for line in lines)


def test_lines_and_summary():
    lines = ["".join(text for text, _ in line) for line in check_lines([], RESULTS)]
    assert lines[0].startswith("failed     sends: ")
    assert "\x1b" not in lines[0]
    assert lines[-1] == summary(RESULTS) == "1 held, 1 failed, 1 not tested"
    assert summary([]) == "nothing was expected"
