"""Why a call was decided as it was: every rule, what its condition read, where that came from, and the effect.

For others of the workbench:

* `tree.lines_of(explained, width, tiers=…)`: one rule as text, with the value of each part of its conditions;
  `tree.rows_of` gives the same lines with what came of each part by itself.
* `requests.read_request(text)`: a request as people have it (a line of a recording, a JSON object, HTTP, a curl
  command) as an `Inquiry`; `inquiry.placed` adds when, from where and as whom.
* `desk.desk_of(settings, parts)`, then `judging.explained(inquiry, desk)` or
  `judging.explained_line(lines, n, desk)`, and `logged.explained_decision(line, desk)` for audit logs: an
  `explanation.Explanation`.
* `as_text.as_text`, `as_json.as_json`, `as_html.as_html` show it.
* `values.of_fact(name, value, tiers)`: a value as people read it.
"""
