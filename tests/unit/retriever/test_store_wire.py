"""Frames between the retriever and its workers."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.retriever.edge_wire import LENGTH, Message, decode, encode, read_frame

HEADS = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "arrays"),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.floats(allow_nan=False),
    max_size=4,
)
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.lists(arrays.arrays(np.float32, SHAPES) | arrays.arrays(np.uint32, SHAPES), max_size=3)


@given(HEADS, ARRAYS)
def test_a_message_comes_out_as_it_went_in(head: dict[str, object], sent: list[np.ndarray]) -> None:
    frame = read_frame(io.BytesIO(encode(Message(head, sent))))
    assert frame is not None
    message = decode(frame)

    assert message.head == head
    assert len(message.arrays) == len(sent)
    for got, array in zip(message.arrays, sent, strict=True):
        np.testing.assert_array_equal(got, array)
        assert got.dtype == array.dtype


def test_frames_follow_each_other() -> None:
    stream = io.BytesIO(b"".join(encode(Message({"n": n})) for n in range(3)))

    frames = [read_frame(stream) for _ in range(4)]

    assert [frame and decode(frame).head["n"] for frame in frames] == [0, 1, 2, None]


@pytest.mark.parametrize("kept", [0, 1, LENGTH.size, LENGTH.size + 3])
def test_a_frame_of_which_only_a_part_was_written_is_none(kept: int) -> None:
    assert read_frame(io.BytesIO(encode(Message({"n": 1}))[:kept])) is None


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(Message({"name": "\ud800"}))


def test_a_view_that_is_not_contiguous_is_sent_as_it_reads() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]

    message = decode(encode(Message({}, [array]))[LENGTH.size :])

    np.testing.assert_array_equal(message.arrays[0], array)
