"""Profiles and scenarios are found by name, the user's own before the shipped ones, from any folder."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simtool.errors import InputError, SimtoolError
from simtool.profiles import find
from simtool.profiles.find import ProfileLibrary, default_library, find_scenario, shipped_folder
from tests.profiles.conftest import Write


def test_names_are_file_stems_in_order(shipped: ProfileLibrary) -> None:
    names = shipped.names("network")
    assert names == sorted(names)
    assert {"ib-ndr", "nvlink4"} <= set(names)
    assert shipped.path("network", "ib-ndr").name == "ib-ndr.yaml"


def test_partial_files_are_no_profiles(shipped: ProfileLibrary) -> None:
    assert "hopper" not in shipped.names("accelerator")
    assert "README" not in shipped.names("accelerator")


def test_a_profile_is_read_once_and_never_changes(shipped: ProfileLibrary) -> None:
    network = shipped.get("network", "ib-ndr")
    assert shipped.get("network", "ib-ndr") is network
    with pytest.raises(ValidationError, match="frozen"):
        network.title = "other"  # type: ignore[misc]


def test_the_users_profile_takes_the_place_of_the_shipped_one(write: Write, tmp_path: Path) -> None:
    write("network", "ib-ndr", "ib-ndr", {"title": "mine"})
    write("network", "ib-ndr", "ib-mine", {"title": "mine too"})
    library = default_library([tmp_path])
    assert library.get("network", "ib-ndr").title == "mine"
    assert library.get("network", "ib-mine").title == "mine too"
    assert library.get("network", "ib-hdr").title != "mine"


def test_the_order_is_given_folders_then_here_then_shipped(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_folder, here = tmp_path / "given", tmp_path / "here" / "hardware_profiles"
    write("network", "ib-ndr", "ib-ndr", {"title": "given"}, folder=given_folder)
    for name in ("ib-ndr", "ib-hdr"):
        write("network", name, name, {"title": "here"}, folder=here)
    monkeypatch.chdir(here.parent)
    library = default_library([given_folder])
    assert library.get("network", "ib-ndr").title == "given"
    assert library.get("network", "ib-hdr").title == "here"
    assert library.get("network", "ib-edr").title.startswith("InfiniBand")


def test_the_library_works_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = default_library().names("accelerator")
    monkeypatch.chdir(tmp_path)
    assert default_library().names("accelerator") == names
    assert default_library().get("node", "dgx-h100").num_accelerators == 8


def test_beside_the_shipped_profiles_they_are_not_searched_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = shipped_folder("hardware_profiles")
    monkeypatch.chdir(shipped.parent)
    assert default_library([shipped]).folders == (shipped,)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no such folder") as caught:
        default_library([tmp_path / "none", tmp_path, tmp_path / "neither"])
    assert [Path(problem.where).name for problem in caught.value.problems] == ["none", "neither"]


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("accelerator", "h100-smx", "h100-sxm"),
        ("accelerator", "H100-SXM", "h100-sxm"),
        ("node", "dgx-h10", "dgx-h100"),
        ("network", "ib-ndr-400", "ib-ndr"),
        ("software", "megatron_core", "megatron-core"),
        ("model", "llama-3.1-70b", "llama3.1-70b"),
    ],
)
def test_an_unknown_name_is_met_with_near_ones(
    shipped: ProfileLibrary, kind: str, name: str, near: str
) -> None:
    with pytest.raises(InputError, match=re.escape(repr(near))) as caught:
        shipped.get(kind, name)
    (problem,) = caught.value.problems
    assert problem.field == kind
    assert repr(name) in problem.found
    assert "simtool list" in problem.mend


@given(name=st.text(max_size=40))
def test_any_other_name_is_an_input_error(shipped: ProfileLibrary, name: str) -> None:
    if name not in shipped.names("network"):
        with pytest.raises(InputError):
            shipped.get("network", name)


@pytest.mark.parametrize("name", ["../families/hopper", "nodes/dgx-h100", "h100-sxm.yaml", "", "."])
def test_a_name_is_no_path(shipped: ProfileLibrary, name: str) -> None:
    with pytest.raises(InputError, match="unknown accelerator"):
        shipped.get("accelerator", name)


def test_the_name_is_the_files(write: Write, tmp_path: Path) -> None:
    path = write("network", "ib-ndr", "ib-mine", {})
    path.rename(path.with_name("ib-other.yaml"))
    with pytest.raises(InputError, match="write 'name: ib-other', or rename the file"):
        ProfileLibrary((tmp_path,)).get("network", "ib-other")


def test_a_number_without_a_source_is_refused(write: Write, tmp_path: Path) -> None:
    path = write("network", "ib-ndr", "ib-mine", {"bandwidth": "50 GB/s", "latency": {"value": "2 us"}})
    with pytest.raises(InputError) as caught:
        ProfileLibrary((tmp_path,)).get("network", "ib-mine")
    fields = {problem.field.split(".")[0] for problem in caught.value.problems}
    assert fields == {"bandwidth", "latency"}
    assert all(problem.where.startswith(str(path)) for problem in caught.value.problems)


def test_a_file_of_another_kind_is_refused(write: Write, tmp_path: Path) -> None:
    write("network", "ib-ndr", "ib-mine", {"schema": "simtool/node/1"})
    with pytest.raises(InputError, match="simtool/network/1"):
        ProfileLibrary((tmp_path,)).get("network", "ib-mine")


def test_a_digest_follows_the_content_wherever_it_is_written(tmp_path: Path) -> None:
    for name in ("before", "after"):
        shutil.copytree(shipped_folder("hardware_profiles"), tmp_path / name)
    family = tmp_path / "after" / "families" / "hopper.yaml"
    text = family.read_text("utf-8")

    def digests() -> list[str]:
        return [
            ProfileLibrary((tmp_path / x,)).digest("accelerator", "h100-sxm") for x in ("before", "after")
        ]

    family.write_text("# a remark\n" + text, encoding="utf-8")
    same, again = digests()
    assert same == again
    assert re.fullmatch("[0-9a-f]{64}", same)
    family.write_text(text.replace("value: 0.96", "value: 0.95"), encoding="utf-8")
    before, after = digests()
    assert before == same
    assert after != before


def test_shipped_files_are_found_in_a_wheel_before_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "simtool"
    monkeypatch.setattr(find, "_PACKAGE", package)
    with pytest.raises(SimtoolError, match="lacks its scenarios"):
        shipped_folder("scenarios")
    (tmp_path / "scenarios").mkdir()
    assert shipped_folder("scenarios") == tmp_path / "scenarios"
    (package / "_data" / "scenarios").mkdir(parents=True)
    assert shipped_folder("scenarios") == package / "_data" / "scenarios"


@pytest.fixture
def scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shipped scenarios, and a working folder that holds another file."""
    shipped, here = tmp_path / "scenarios", tmp_path / "here"
    for folder, names in ((shipped, ("quickstart", "llama2-70b")), (here, ("mine", "quickstart"))):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.yaml").write_text("schema: simtool/scenario/1\n", encoding="utf-8")
    monkeypatch.setattr(find, "_PACKAGE", tmp_path / "simtool")
    monkeypatch.chdir(here)
    return shipped


def test_a_word_is_a_shipped_scenario_and_a_path_is_a_file(scenarios: Path) -> None:
    assert find_scenario("quickstart") == scenarios / "quickstart.yaml"
    assert find_scenario("llama2-70b") == scenarios / "llama2-70b.yaml"
    assert find_scenario("quickstart.yaml").resolve() == scenarios.parent / "here" / "quickstart.yaml"
    assert find_scenario("./mine.yaml").resolve() == scenarios.parent / "here" / "mine.yaml"
    assert find_scenario(str(scenarios)) == scenarios, "reading it will say that it is a folder"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("quikstart", "'quickstart'"),
        ("QUICKSTART", "'quickstart'"),
        ("mine.yml", "'mine.yaml'"),
        ("no/such.yaml", "found no file"),
    ],
)
def test_an_unknown_scenario_is_met_with_near_ones(scenarios: Path, written: str, hint: str) -> None:
    assert scenarios.is_dir()
    with pytest.raises(InputError, match=hint) as caught:
        find_scenario(written)
    assert written in str(caught.value)
    assert "simtool list scenarios" in str(caught.value)


@given(written=st.text(max_size=60))
def test_any_text_is_found_or_an_input_error(written: str) -> None:
    with contextlib.suppress(InputError):
        assert find_scenario(written).exists()


# ------------------------------------------------- what a profile of the user extends, beside it or shipped

OWN = """schema: simtool/accelerator/1
extends: {extends}
name: mine
memory: {{size: {{value: 96 GB, kind: datasheet, source: "a sheet"}}}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of the user with an accelerator that extends nothing that stands beside it."""
    (tmp_path / "mine.yaml").write_text(OWN.format(extends="h100-sxm.yaml"), "utf-8")
    return tmp_path


def test_what_is_not_beside_the_file_is_taken_from_the_shipped_profiles(
    own: Path, shipped: ProfileLibrary
) -> None:
    library = default_library([own])
    mine, theirs = library.get("accelerator", "mine"), shipped.get("accelerator", "h100-sxm")
    assert float(mine.memory.size) == 96e9
    assert mine.memory.bandwidth == theirs.memory.bandwidth
    assert mine.power == theirs.power
    assert mine.efficiency == theirs.efficiency
    assert find.borrowed(library.document("accelerator", "mine")) == (
        "h100-sxm.yaml",
        "efficiency/h100-sxm.yaml",
        "families/hopper.yaml",
    )
    assert find.borrowed(library.document("accelerator", "h100-sxm")) == ()


@pytest.mark.parametrize("below", ["efficiency/h100-sxm.yaml", "families/hopper.yaml"])
def test_the_users_own_file_comes_first_wherever_in_the_chain_it_stands(
    own: Path, below: str, shipped: ProfileLibrary
) -> None:
    """Also where a shipped file extends it: the user's family is not passed over in silence."""
    copy = own / below
    copy.parent.mkdir()
    copy.write_text((shipped_folder("hardware_profiles") / below).read_text("utf-8"), "utf-8")
    library = default_library([own])
    document = library.document("accelerator", "mine")
    assert str(copy) in document.files
    assert below not in find.borrowed(document)
    assert library.data("accelerator", "mine") == ProfileLibrary((own,)).data("accelerator", "mine")
    assert library.path("accelerator", "h100-sxm").is_relative_to(shipped_folder("hardware_profiles"))
    assert library.data("accelerator", "h100-sxm") == shipped.data("accelerator", "h100-sxm")


def test_a_profile_in_a_subfolder_finds_its_like(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    text = "schema: simtool/node/1\nextends: dgx-h100.yaml\nname: mine\nnum_accelerators: 4\n"
    (tmp_path / "nodes" / "mine.yaml").write_text(text, "utf-8")
    library = default_library([tmp_path])
    assert library.get("node", "mine").num_accelerators == 4
    assert library.get("node", "mine").host_load == library.get("node", "dgx-h100").host_load


@pytest.mark.parametrize("extends", ["families/hoper.yaml", "hoper.yaml"])
def test_what_stands_in_neither_place_is_told_with_both(own: Path, extends: str) -> None:
    (own / "mine.yaml").write_text(OWN.format(extends=extends), "utf-8")
    with pytest.raises(InputError) as caught:
        default_library([own]).get("accelerator", "mine")
    (problem,) = caught.value.problems
    assert problem.where.endswith("mine.yaml:2:10")
    assert str(own / extends) in problem.found
    assert str(shipped_folder("hardware_profiles") / extends) in problem.found
    assert problem.mend


@pytest.mark.parametrize("extends", ["../outside.yaml", "/nowhere/hopper.yaml"])
def test_nothing_outside_the_shipped_folder_is_reached(own: Path, extends: str) -> None:
    (own / "mine.yaml").write_text(OWN.format(extends=extends), "utf-8")
    with pytest.raises(InputError, match="no such file") as caught:
        default_library([own]).get("accelerator", "mine")
    assert str(shipped_folder("hardware_profiles")) not in str(caught.value)


def test_a_file_that_cannot_be_read_is_not_passed_over(own: Path) -> None:
    (own / "h100-sxm.yaml").symlink_to(own / "gone.yaml")
    with pytest.raises(InputError, match=r"h100-sxm\.yaml"):
        default_library([own]).get("accelerator", "mine")


@pytest.mark.parametrize(
    ("below", "extends"), [("h100-sxm.yaml", "h100-sxm.yaml"), ("families/hopper.yaml", "../mine.yaml")]
)
def test_a_cycle_through_the_users_files_is_seen(own: Path, below: str, extends: str) -> None:
    file = own / below
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"schema: simtool/accelerator/1\nextends: {extends}\n", "utf-8")
    with pytest.raises(InputError, match="cycle"):
        default_library([own]).get("accelerator", "mine")
