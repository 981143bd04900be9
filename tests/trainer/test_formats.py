"""Raw rows of every known format → text rows and conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import completion_text
from trainer.errors import DataError
from trainer.formats import FORMATS
from trainer.recognition import read_rows
from trainer.rows import Conversation, Row, TextRow
from trainer.sources import RawData, read_source


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def tagged(who: str, value: str) -> dict[str, str]:
    return {"from": who, "value": value}


def read(*rows: dict[str, Any], demonstrations: bool = False, typed: bool = True) -> list[Row]:
    return read_rows(RawData("data", list(rows), "", typed=typed), demonstrations)[1]


def described(entry: dict[str, Any], *rows: dict[str, Any]) -> list[Row]:
    return read_rows(RawData("data", list(rows), "", description=entry))[1]


ASKED, BLUE, GREEN = said("user", "Q"), said("assistant", "blue"), said("assistant", "green")
SYSTEM = said("system", "S")
PAIR = Conversation([ASKED], ([BLUE], [GREEN]), (True, False))
TEXT_PAIR = TextRow("Q", ("blue", "green"), (True, False))
LABELLED = Conversation([ASKED], ([BLUE],), (False,))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt": "Q", "chosen": "blue", "rejected": "green"}, TEXT_PAIR),
        ({"prompt": [ASKED], "chosen": [BLUE], "rejected": [GREEN]}, PAIR),
        ({"prompt": [ASKED], "chosen": BLUE, "rejected": "green"}, PAIR),
        # The prompt again in both conversations, as messages and as text.
        ({"prompt": [ASKED], "chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN]}, PAIR),
        ({"prompt": "Q", "chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN]}, PAIR),
        ({"prompt": "Q", "chosen": [BLUE], "rejected": [GREEN]}, PAIR),
        ({"prompt": None, "chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN]}, PAIR),
        ({"chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN]}, PAIR),
        ({"chosen": "Qblue", "rejected": "Qgreen"}, TEXT_PAIR),
        ({"instruction": "Q", "input": "", "chosen": "blue", "rejected": "green"}, PAIR),
        ({"instruction": "", "input": "Q", "chosen": "blue", "rejected": "green"}, PAIR),
        ({"conversations": [tagged("human", "Q")], "chosen": tagged("gpt", "blue"),
          "rejected": tagged("gpt", "green")}, PAIR),
        ({"messages": [ASKED], "chosen": [BLUE], "rejected": GREEN}, PAIR),
        ({"messages": [ASKED, BLUE], "rejected_response": "green"}, PAIR),
        ({"messages": [ASKED, BLUE], "rejected_messages": [ASKED, GREEN]}, PAIR),
        ({"input": {"messages": [ASKED]}, "preferred_output": [BLUE],
          "non_preferred_output": [GREEN]}, PAIR),
        ({"prompt": "Q", "completion": "blue", "label": False}, TextRow("Q", ("blue",), (False,))),
        ({"prompt": [ASKED], "completion": [BLUE], "label": False}, LABELLED),
        ({"prompt": "Q", "completion": [ASKED, BLUE], "label": False}, LABELLED),
        ({"messages": [ASKED, BLUE], "label": False}, LABELLED),
        ({"conversations": [tagged("human", "Q"), tagged("gpt", "blue")], "label": False},
         LABELLED),
        ({"instruction": "Q", "output": "blue", "kto_tag": False}, LABELLED),
    ],
)  # fmt: skip
def test_every_shape_is_recognised_by_its_columns(raw: dict[str, Any], expected: Row) -> None:
    assert read(raw) == [expected]


def test_every_format_has_a_name_of_its_own_and_is_read_from_its_own_columns() -> None:
    assert len({found.name for found in FORMATS}) == len(FORMATS)


def test_columns_that_a_popular_data_set_adds_do_not_change_what_is_read() -> None:
    raw = {
        "prompt": "Q",
        "prompt_id": "1",
        "chosen": [ASKED, BLUE],
        "rejected": [ASKED, GREEN],
        "messages": [ASKED, BLUE],
        "score_chosen": 8.5,
    }

    assert read(raw) == [PAIR]


def test_alpaca_puts_system_first_then_history_then_instruction_and_input() -> None:
    raw = {
        "instruction": "Add.",
        "input": "2 and 3",
        "system": "S",
        "history": [["Hi", "Hello"]],
        "chosen": "5",
        "rejected": "6",
    }

    assert read(raw)[0].prompt == [
        SYSTEM,
        said("user", "Hi"),
        said("assistant", "Hello"),
        said("user", "Add.\n2 and 3"),
    ]


def test_a_system_message_of_the_conversation_wins_over_the_system_column() -> None:
    row = {"messages": [SYSTEM, ASKED], "chosen": BLUE, "rejected": GREEN, "system": "other"}

    assert read(row)[0].prompt == [SYSTEM, ASKED]
    assert read(row | {"messages": [ASKED], "system": "S"})[0].prompt == [SYSTEM, ASKED]


def test_sharegpt_names_become_the_roles_of_chat_templates() -> None:
    turns = [tagged("system", "S"), tagged("human", "Q"), tagged("function_call", "f()"),
             tagged("observation", "1")]  # fmt: skip
    row = {"conversations": turns, "chosen": tagged("gpt", "a"), "rejected": tagged("gpt", "b")}

    assert [m["role"] for m in read(row)[0].prompt] == ["system", "user", "assistant", "tool"]


def test_what_a_message_holds_beside_role_and_content_is_kept() -> None:
    calls = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    chosen = {"role": "assistant", "content": None, "tool_calls": calls, "name": None}

    row = read({"prompt": [ASKED], "chosen": [chosen], "rejected": [GREEN]})[0]

    assert row.completions[0] == [{"role": "assistant", "content": "", "tool_calls": calls}]


def test_tools_and_template_arguments_reach_the_chat_template() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    row = {"prompt": [ASKED], "chosen": [BLUE], "rejected": [GREEN]}

    (with_tools,) = read(row | {"tools": json.dumps(tools), "chat_template_kwargs": {"a": 1}})
    (without,) = read(row | {"tools": "", "chat_template_kwargs": None})

    assert isinstance(with_tools, Conversation)
    assert isinstance(without, Conversation)
    assert with_tools.options == {"a": 1, "tools": tools}
    assert without.options == {}


def test_csv_labels_are_read_from_their_words() -> None:
    rows = [{"prompt": "Q", "completion": "A", "label": x} for x in ("True", " false", "1", "0")]

    assert [row.labels for row in read(*rows, typed=False)] == [
        (True,),
        (False,),
        (True,),
        (False,),
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt": "Q", "completion": "blue"}, TextRow("Q", ("blue",), (True,))),
        ({"instruction": "Q", "output": "blue"}, Conversation([ASKED], ([BLUE],), (True,))),
        ({"messages": [ASKED, BLUE]}, Conversation([ASKED], ([BLUE],), (True,))),
        ({"text": "blue"}, TextRow("", ("blue",), (True,))),
    ],
)
def test_completions_without_labels_are_read_only_where_they_are_asked_for(
    raw: dict[str, Any], expected: Row
) -> None:
    assert read(raw, demonstrations=True) == [expected]
    with pytest.raises(DataError, match="missing for"):
        read(raw)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Q: a", "Q: b", "Q:"),  # a blank before the first difference belongs to the completions
        ("Q:  a", "Q:  b", "Q: "),
        ("Q:", "Q: b", "Q"),  # no side is left empty
        ("Q", "Q", ""),
        ("a ", "b ", ""),
        ("", "b", ""),
    ],
)
def test_an_implicit_prompt_is_the_longest_shared_start(
    chosen: str, rejected: str, prompt: str
) -> None:
    n = len(prompt)

    assert read({"chosen": chosen, "rejected": rejected}) == [
        TextRow(prompt, (chosen[n:], rejected[n:]), (True, False))
    ]


@given(st.text("ab", max_size=40), st.text("ab", max_size=3), st.text("ab", max_size=3))
def test_an_implicit_prompt_ends_where_a_walk_over_the_characters_ends(
    start: str, chosen: str, rejected: str
) -> None:
    chosen, rejected = start + "a" + chosen, start + "b" + rejected

    assert read({"chosen": chosen, "rejected": rejected})[0].prompt == start


# Descriptions


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("alpaca.json", 2, said("system", "Answer in one word.")),
        ("sharegpt.json", 2, said("system", "Be kind.")),
        ("kto.json", 2, said("user", "Is ice cold?")),
    ],
)
def test_the_samples_are_read_through_their_description(
    root: Path, name: str, count: int, first: dict[str, str]
) -> None:
    _, rows = read_rows(read_source(str(root / "tests" / "data" / "pairs" / name)))

    assert len(rows) == count
    assert rows[0].prompt[0] == first


def test_a_description_without_columns_means_the_usual_ones() -> None:
    alpaca = {"instruction": "Q", "input": "", "chosen": "blue", "rejected": "green"}
    turns = {"conversations": [tagged("human", "Q")], "chosen": tagged("gpt", "blue"),
             "rejected": tagged("gpt", "green")}  # fmt: skip

    assert described({"ranking": True}, alpaca) == [PAIR]
    assert described({"ranking": True, "formatting": "sharegpt"}, turns) == [PAIR]


def test_columns_that_a_description_leaves_out_are_not_used() -> None:
    raw = {"question": "Q", "input": "not this", "chosen": "blue", "rejected": "green"}

    assert described({"ranking": True, "columns": {"prompt": "question"}}, raw) == [PAIR]


def test_a_described_label_may_stand_on_the_completion_column() -> None:
    raw = {"turns": [ASKED, BLUE], "good": False}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user",
            "assistant_tag": "assistant"}  # fmt: skip
    columns = {"messages": "turns", "kto_tag": "good"}

    found = described({"formatting": "sharegpt", "columns": columns, "tags": tags}, raw)

    assert found == [LABELLED]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, r'describes neither pairs nor labels; add "ranking": true'),
        ({"formatting": "chatml"}, r"the formatting 'chatml', expected alpaca, sharegpt or openai"),
        (
            {"ranking": True, "columns": {"chosen": "better"}},
            r"names the column 'better' for chosen, which is not there \(did you mean 'bettr'\?\)",
        ),
    ],
)
def test_a_description_that_does_not_fit_is_refused(entry: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        described(entry, {"instruction": "Q", "bettr": "blue", "rejected": "green"})


# Refusals

CHOSEN = {"prompt": "Q", "chosen": "blue", "rejected": "green"}
MESSAGES = {"prompt": [ASKED], "chosen": [BLUE], "rejected": [GREEN]}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [{"prompt": "Q", "choosen": "blue", "rejected": "green"}],
            r"data, row 1: found the columns prompt, choosen, rejected; 'chosen' \(did you mean "
            r"'choosen'\?\) missing for prompt, chosen and rejected; rename",
        ),
        ([{"prompt": "Q", "completion": "A"}], r"'label' missing for prompt, completion and label"),
        ([{}], r"found the columns \(none\);"),
        (
            [CHOSEN, {"prompt": "Q", "chosen": "blue", "reject": "green"}],
            r"data, row 2: column 'rejected' is missing \(did you mean 'reject'\?\); found prompt",
        ),
        ([CHOSEN, MESSAGES], r"data, row 2: holds messages where data, row 1 holds text; split"),
        ([MESSAGES, CHOSEN], r"data, row 2: holds text where data, row 1 holds messages; split"),
        ([CHOSEN | {"chosen": 3}], r"row 1: 'chosen' holds a number, expected text"),
        ([CHOSEN | {"prompt": True}], r"row 1: 'prompt' holds a boolean, expected text"),
        ([MESSAGES | {"chosen": ["blue"]}], r"'chosen' holds a list of text, expected text or mes"),
        (
            [{"question": "Q", "chosen": "blue", "rejected": "green"}],
            r"column 'prompt' is missing; rename 'question' to 'prompt', or map it",
        ),
        (
            [{"prompt": "Q", "completion": "A", "label": 1}],
            r"the label in 'label' is 1, expected true \(desirable\) or false",
        ),
        ([{"messages": [ASKED, BLUE], "label": None}], r"the label in 'label' is None, expected"),
        ([{"messages": [ASKED], "label": True}], r"ends with a user message, expected the assis"),
        ([{"messages": [], "label": True}], r"ends with nothing, expected the assistant's answer"),
        (
            [MESSAGES | {"chosen": [said("asistant", "blue")]}],
            r"unknown role 'asistant' \(did you mean 'assistant'\?\); expected human, gpt",
        ),
        ([MESSAGES | {"chosen": [{"rol": "a"}]}], r"has no 'role' \(did you mean 'rol'\?\); found"),
        (
            [MESSAGES | {"chosen": [{"role": "assistant", "content": [{"type": "image"}]}]}],
            r"a message's content is a list of an object, expected text; only text can be",
        ),
        (
            [{"input": [ASKED], "preferred_output": [BLUE], "non_preferred_output": [GREEN]}],
            r"'input' holds a list of an object, expected an object with \"messages\"",
        ),
        ([MESSAGES | {"tools": "{"}], r"row 1: 'tools' is not JSON"),
        (
            [{"instruction": "Q", "history": ["Hi"], "chosen": "a", "rejected": "b"}],
            r"'history' holds text, expected pairs of a question and an answer",
        ),
        (
            [{"instruction": "Q", "input": 3, "chosen": "a", "rejected": "b"}],
            r"'input' holds a num",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_one_sentence(
    rows: list[dict[str, Any]], expected: str
) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        read(*rows)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
PARTS = ["prompt", "chosen", "rejected", "messages", "conversations", "completion", "label",
         "instruction", "input", "output", "history", "system", "tools", "kto_tag",
         "rejected_response", "chat_template_kwargs"]  # fmt: skip


VALID = [CHOSEN, MESSAGES, {"prompt": "Q", "completion": "A", "label": True},
         {"messages": [ASKED, BLUE], "label": True}, {"instruction": "Q", "output": "A",
         "kto_tag": True}, {"messages": [ASKED, BLUE], "rejected_response": "green"}]  # fmt: skip


@given(st.sampled_from(VALID), st.dictionaries(st.sampled_from(PARTS), JSON, max_size=3))
def test_no_rows_raise_anything_but_a_data_error(
    valid: dict[str, Any], changed: dict[str, Any]
) -> None:
    try:
        (row,) = read(valid | changed)
    except DataError:
        return
    assert len(row.completions) == len(row.labels)
    assert all(isinstance(completion_text(part), str) for part in (row.prompt, *row.completions))
