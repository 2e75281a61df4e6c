"""A line is taken apart as `json.loads` reads it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from modelfence.recording.fields import values_in

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(st.text().filter(lambda name: name != "headers"), values, max_size=5),
    st.sampled_from([None, 0, 1]),
    st.booleans(),
)
def test_a_line_is_taken_apart_as_json_is_read(fields, indent, ascii_only):
    written = json.dumps(fields, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    found = values_in(written)
    assert {name: value for name, (value, _) in found.items()} == fields
    assert {name: json.loads(text) for name, (_, text) in found.items()} == fields
