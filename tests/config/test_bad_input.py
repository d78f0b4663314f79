"""Every way to write a scenario wrongly gives one clear message at the place where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.config.load import load_scenario
from simtool.errors import InputError
from tests.config.conftest import SCENARIO, Bend, Write


def test_the_scenario_itself_is_right(write: Write) -> None:
    assert load_scenario(write(SCENARIO)).scenario.name == "small"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "seq_len: 2048",
            "sequence_len: 2048",
            (
                "a.yaml:7:3: workload.sequence_len: found the unknown key 'sequence_len'; "
                "did you mean 'seq_len'?"
            ),
            id="unknown key",
        ),
        pytest.param(
            "seed: 1",
            "num_nodes: 16",
            "a.yaml:34:1: num_nodes: found the unknown key 'num_nodes'; did you mean cluster.num_nodes?",
            id="key of another section",
        ),
        pytest.param(
            "  seq_len: 2048\n",
            "",
            (
                "a.yaml:5:3: workload.seq_len: found no such key; allowed: a whole number above 0; "
                "add 'seq_len: ...'"
            ),
            id="missing key",
        ),
        pytest.param(
            "repair: 24 h",
            "repair: 24",
            "a.yaml:23:11: reliability.repair: found 24 without a unit; "
            "allowed: a quantity in s of at least 0; write e.g. 24 h",
            id="number without unit",
        ),
        pytest.param(
            "repair: 24 h",
            "repair: '24'",
            "a.yaml:23:11: reliability.repair: found '24' without a unit; "
            "allowed: a quantity in s of at least 0; write e.g. 24 s",
            id="text without unit",
        ),
        pytest.param(
            "repair: 24 h",
            "repair: 24 huors",
            "a.yaml:23:11: reliability.repair: found '24 huors': unknown unit 'huors'; "
            "allowed: a quantity in s of at least 0; write e.g. 24 h",
            id="unknown unit",
        ),
        pytest.param(
            "repair: 24 h",
            "repair: 24 kWh",
            "a.yaml:23:11: reliability.repair: found '24 kWh', which is not in s; "
            "allowed: a quantity in s of at least 0; write e.g. 24 h",
            id="wrong dimension",
        ),
        pytest.param(
            "repair: 24 h",
            "repair: -24 h",
            "a.yaml:23:11: reliability.repair: found '-24 h'; "
            "allowed: a quantity in s of at least 0; write e.g. 24 h",
            id="negative",
        ),
        pytest.param(
            "pue: 1.15",
            "pue: .nan",
            (
                "a.yaml:28:18: site.cooling.pue: found nan; allowed: a number from 1 to 10; "
                "write a finite number"
            ),
            id="not a number",
        ),
        pytest.param(
            "pue: 1.15",
            "pue: .inf",
            (
                "a.yaml:28:18: site.cooling.pue: found inf; allowed: a number from 1 to 10; "
                "write a finite number"
            ),
            id="infinite",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes: 0",
            "a.yaml:15:14: cluster.num_nodes: found 0; allowed: a whole number above 0",
            id="zero devices",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes: 1e1",
            "a.yaml:15:14: cluster.num_nodes: found 10.0; allowed: a whole number above 0; write 10",
            id="fraction for a count",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes: '16'",
            (
                "a.yaml:15:14: cluster.num_nodes: found '16'; allowed: a whole number above 0; "
                "write 16 without quotes"
            ),
            id="quoted number",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes: '1e999'",
            "a.yaml:15:14: cluster.num_nodes: found '1e999'; allowed: a whole number above 0",
            id="quoted number out of range",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes: -0" + "9" * 99,
            "a.yaml:15:14: cluster.num_nodes: found a number of more than 60 digits; "
            "allowed: a whole number above 0",
            id="a hundred digits",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes: true",
            "a.yaml:15:14: cluster.num_nodes: found true; allowed: a whole number above 0",
            id="truth for a count",
        ),
        pytest.param(
            "num_nodes: 16",
            "num_nodes:",
            "a.yaml:15:13: cluster.num_nodes: found nothing (null); allowed: a whole number above 0",
            id="nothing",
        ),
        pytest.param(
            "forward_frac: 0.6",
            "forward_frac: 1.4",
            "a.yaml:12:17: method.forward_frac: found 1.4; allowed: a number from 0 to 1; write e.g. 0.5",
            id="work fraction above 1",
        ),
        pytest.param(
            "precision: bf16",
            "precision: bf61",
            (
                "a.yaml:9:14: workload.precision: found 'bf61'; allowed: 'bf16', 'fp16', 'tf32', "
                "'fp32', 'fp8', 'mxfp8' or 'nvfp4'; did you mean 'bf16'?"
            ),
            id="misspelt choice",
        ),
        pytest.param(
            "name: small",
            "name: Small Run",
            "a.yaml:2:7: name: found 'Small Run'; allowed: text, of the form ^[a-z0-9][a-z0-9._-]{0,63}$; "
            "write e.g. llama3-70b-h100",
            id="bad name",
        ),
        pytest.param(
            "name: small",
            "name: 13",
            (
                "a.yaml:2:7: name: found 13; allowed: text, of the form ^[a-z0-9][a-z0-9._-]{0,63}$; "
                "put it in quotes"
            ),
            id="number for text",
        ),
        pytest.param(
            "  start: 2025-01-01T00:00Z\n",
            "",
            (
                "a.yaml:27:3: site.start: found no such key; "
                "allowed: a date and time with its zone; add 'start: ...'"
            ),
            id="missing time",
        ),
        pytest.param(
            "2025-01-01T00:00Z",
            "2025-01-01",
            "a.yaml:27:10: site.start: found '2025-01-01' without a time zone; "
            "allowed: a date and time with its zone; write 2025-01-01T00:00Z for UTC",
            id="time without zone",
        ),
        pytest.param(
            "2025-01-01T00:00Z",
            "2025-02-30T00:00Z",
            "a.yaml:27:10: site.start: found '2025-02-30T00:00Z'; "
            "allowed: a date and time with its zone; write e.g. 2025-01-01T00:00Z",
            id="no such day",
        ),
        pytest.param(
            "{power_limit: [300 W, 400 W]}",
            "{power_limit: [300 W]}",
            "a.yaml:17:25: cluster.assume.power_limit: found a list of 1; allowed: a list of 2",
            id="list too short",
        ),
        pytest.param(
            "{power_limit: [300 W, 400 W]}",
            "{power_limit: [300 W, 400]}",
            "a.yaml:17:33: cluster.assume.power_limit[1]: found 400 without a unit; "
            "allowed: a quantity in W of at least 0; write e.g. 700 W",
            id="item of a list",
        ),
        pytest.param(
            "{pue: 1.15}",
            "1.15",
            "a.yaml:28:12: site.cooling: found 1.15; allowed: a mapping with pue",
            id="value for a section",
        ),
        pytest.param(
            "2.50 USD/h",
            "2.50 EUR/h",
            "a.yaml:33:10: economics.price: found '2.50 EUR/h': unknown unit 'EUR/h'; "
            "allowed: a quantity in USD/h of at least 0; write e.g. 1.5 USD/h",
            id="unknown money",
        ),
        pytest.param(
            "24 h",
            "1 s^9^9^9^9^9",
            "a.yaml:23:11: reliability.repair: found '1 s^9^9^9^9^9' with the unknown unit 's^9^9^9^9^9'; "
            "allowed: a quantity in s of at least 0; write e.g. 24 h",
            id="unit that would take forever",
        ),
    ],
)
def test_one_mistake(bend: Bend, old: str, new: str, message: str) -> None:
    assert message in [str(problem) for problem in bend(old, new)]


# ---------------------------------------------------------------------------------------------- unions


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "global_batch: 1024",
            "global_batch: 0",
            (
                "a.yaml:8:17: workload.global_batch: found 0; "
                "allowed: a whole number above 0 or a quantity in token above 0; write e.g. 300 Gtoken"
            ),
        ),
        (
            "global_batch: 1024",
            "global_batch: 4 W",
            (
                "a.yaml:8:17: workload.global_batch: found '4 W', which is not in token; "
                "allowed: a whole number above 0 or a quantity in token above 0; write e.g. 300 Gtoken"
            ),
        ),
        (
            "global_batch: 1024",
            "global_batch: 4.5",
            (
                "a.yaml:8:17: workload.global_batch: found 4.5; "
                "allowed: a whole number above 0 or a quantity in token above 0; write e.g. 300 Gtoken"
            ),
        ),
        (
            "global_batch: 1024",
            "global_batch: {value: 4 Mtoken, kind: guess, source: me}",
            (
                "a.yaml:8:41: workload.global_batch.kind: found 'guess'; "
                "allowed: measured, calibrated, datasheet, published, assumed"
            ),
        ),
        (
            "interval: daly",
            "interval: dayl",
            (
                "a.yaml:25:71: reliability.checkpoint.interval: found 'dayl'; "
                "allowed: 'daly', 'young' or a quantity in s above 0; did you mean 'daly'?"
            ),
        ),
        (
            "interval: daly",
            "interval: 0 s",
            (
                "a.yaml:25:71: reliability.checkpoint.interval: found '0 s'; "
                "allowed: 'daly', 'young' or a quantity in s above 0; write e.g. 24 h"
            ),
        ),
        (
            "layout:\n  tp: 4\n  pp: 2\n",
            "layout: atuo\n",
            "a.yaml:18:9: layout: found 'atuo'; allowed: 'auto' or a mapping; did you mean 'auto'?",
        ),
        (
            "tp: 4\n",
            "tp: 4\n  zero: 4\n",
            "a.yaml:20:9: layout.zero: found 4; allowed: 0, 1, 2 or 3",
        ),
        (
            "tp: 4\n",
            "tp: 4\n  sequence_parallel: no\n",
            "a.yaml:20:22: layout.sequence_parallel: found 'no'; allowed: true or false; write false",
        ),
        (
            "method:\n  profile: fewer-operations\n  forward_frac: 0.6\n",
            "method: fewer-operations\n",
            "a.yaml:10:9: method: found 'fewer-operations'; allowed: 'none' or a mapping with profile",
        ),
        (
            "price: 0.08 USD/kWh",
            "price: {serie: pjm}",
            "a.yaml:29:11: site.price.serie: found the unknown key 'serie'; did you mean 'series'?",
        ),
        (
            "price: 0.08 USD/kWh",
            "price: {value: 0.08 USD/kWh, kind: assumed}",
            "a.yaml:29:10: site.price.source: found no such key; allowed: text; add 'source: ...'",
        ),
        (
            "average: 363 gCO2e/kWh",
            "average: {series: 5}",
            "a.yaml:30:30: site.carbon.average.series: found 5; allowed: text; put it in quotes",
        ),
        (
            "mode: rent",
            "mode: rnet",
            "a.yaml:32:9: economics.mode: found 'rnet'; allowed: 'rent' or 'own'; did you mean 'rent'?",
        ),
        (
            "  mode: rent\n",
            "",
            "a.yaml:32:3: economics.mode: found no such key; allowed: 'rent' or 'own'; add 'mode: ...'",
        ),
        (
            "mode: rent",
            "mode: own",
            (
                "a.yaml:33:3: economics.price: found the unknown key 'price'; it belongs to mode rent; "
                "did you mean 'node_price'?"
            ),
        ),
        (
            "model: gpt3-13b",
            "model: [gpt3-13b]",
            "a.yaml:5:10: workload.model: found a list of 1; allowed: text or a mapping",
        ),
    ],
)
def test_the_branch_that_was_meant_is_told(bend: Bend, old: str, new: str, message: str) -> None:
    assert message in [str(problem) for problem in bend(old, new)]


def test_no_other_branch_is_told(bend: Bend) -> None:
    assert [problem.field for problem in bend("price: 0.08 USD/kWh", "price: {series: 5, seris: 6}")] == [
        "site.price.series",
        "site.price.seris",
    ]
    assert [problem.field for problem in bend("tp: 4", "tp: 0")] == ["layout.tp"]
    assert [problem.field for problem in bend("price: 2.50 USD/h", "price: 2.50 W")] == ["economics.price"]


def test_a_key_that_is_named_like_a_branch(bend: Bend) -> None:
    problems = bend("price: 2.50 USD/h", "rent: 5")
    assert [(problem.where, problem.field) for problem in problems] == [
        ("a.yaml:32:3", "economics.price"),
        ("a.yaml:33:3", "economics.rent"),
    ]


# ---------------------------------------------------------------------------------------------- schema


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "simtool/scenario/2",
            (
                "a.yaml:1:9: schema: found 'simtool/scenario/2', which needs a newer simtool; "
                "allowed: simtool/scenario/1; update simtool, or write 'schema: simtool/scenario/1'"
            ),
        ),
        (
            "simtool/scenario/0",
            (
                "a.yaml:1:9: schema: found 'simtool/scenario/0', which is older than any that can be read; "
                "allowed: simtool/scenario/1; "
                "bring the fields up to date and write 'schema: simtool/scenario/1'"
            ),
        ),
        (
            "simtool/accelerator/1",
            (
                "a.yaml:1:9: schema: found 'simtool/accelerator/1', a file of another kind; "
                "allowed: simtool/scenario/1; name a file of kind scenario"
            ),
        ),
        (
            "simtool/scenari/1",
            (
                "a.yaml:1:9: schema: found 'simtool/scenari/1', which is no kind of file; "
                "allowed: simtool/scenario/1; did you mean 'scenario'?"
            ),
        ),
        (
            "1",
            "a.yaml:1:9: schema: found 1; allowed: simtool/scenario/1; write 'schema: simtool/scenario/1'",
        ),
    ],
)
def test_other_schemas(bend: Bend, written: str, message: str) -> None:
    """Only this is told: the rest of the file follows rules of its own."""
    text = f"schema: {written}\nunknown: 1"
    assert [str(problem) for problem in bend("schema: simtool/scenario/1", text)] == [message]


def test_without_schema_the_rest_is_told_too(bend: Bend) -> None:
    first, second = bend("schema: simtool/scenario/1", "unknown: 1")
    assert str(first) == (
        "a.yaml:1:1: schema: found no such key; allowed: simtool/scenario/1; "
        "begin the file with 'schema: simtool/scenario/1'"
    )
    assert second.field == "unknown"


# ---------------------------------------------------------------------------------------------- all at once


def test_all_problems_by_file_line_and_column(write: Write) -> None:
    write(SCENARIO.replace("seq_len: 2048", "seq_len: x").replace("pue: 1.15", "pue: 0"), "base.yaml")
    path = write("extends: base.yaml\nseed: -1\ncluster: {num_nodes: 0, spare: 1}\n")
    with pytest.raises(InputError) as caught:
        load_scenario(path, ["workload.precision=fp5", "nonsense=1"])
    assert [(problem.where, problem.field) for problem in caught.value.problems] == [
        ("a.yaml:2:7", "seed"),
        ("a.yaml:3:22", "cluster.num_nodes"),
        ("a.yaml:3:25", "cluster.spare"),
        ("base.yaml:7:12", "workload.seq_len"),
        ("base.yaml:28:18", "site.cooling.pue"),
        ("--set", "workload.precision"),
        ("--set", "nonsense"),
    ]


def test_overrides_are_checked_like_the_file(bend: Bend) -> None:
    assert str(bend("", "", "clustr.num_nodes=4")[0]) == (
        "--set: clustr: found the unknown key 'clustr'; did you mean 'cluster'?"
    )
    assert str(bend("", "", "cluster.num_node=4")[0]) == (
        "--set: cluster.num_node: found the unknown key 'num_node'; did you mean 'num_nodes' or 'node'?"
    )
    assert (
        str(bend("", "", "layout.tp=8 W")[0])
        == "--set: layout.tp: found '8 W'; allowed: a whole number above 0"
    )


def test_a_missing_key_below_an_override_is_placed_there(bend: Bend) -> None:
    problems = bend("", "", "workload.tokens.value=3 token")
    assert [(problem.where, problem.field) for problem in problems] == [
        ("--set", "workload.tokens.kind"),
        ("--set", "workload.tokens.source"),
    ]


def test_a_list_with_a_wrong_item_is_not_called_too_short(tmp_path: Path) -> None:
    from simtool.config.load_datacenter import load_datacenter

    path = tmp_path / "site.yaml"
    path.write_text(
        "schema: simtool/datacenter/1\nname: site\nstart: 2022-01-01T00:00Z\n"
        "pools:\n  - {name: main, accelerator: h100-sxm, num_node: 2}\n"
        "jobs: {trace: {file: jobs.csv}, work: {activity: 0.5}}\n"
        "facility: {pue: 1.2}\nelectricity: {price: 0.08 USD/kWh}\n",
        "utf-8",
    )
    with pytest.raises(InputError) as caught:
        load_datacenter(path)
    assert {problem.field for problem in caught.value.problems} == {"pools[0].num_node", "pools[0].num_nodes"}
    with pytest.raises(InputError) as caught:
        load_datacenter(path, ["pools=[]"])
    assert [problem.field for problem in caught.value.problems] == ["pools"]
