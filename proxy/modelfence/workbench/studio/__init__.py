"""`modelfence studio`: a page on this machine for those who write and review policies.

`server` serves it, `protection` keeps everybody else out, `workspace` holds the few files it may touch, and each other
module answers one question of the page: `checking`, `deciding`, `pasting`, `case_runs`, `mapping`, `compare_runs`,
`saving`. `worker` is the thread of those that take long. What runs in the browser is written in tools/studio/ and
bundled into static/.

Rule: no path and no address that comes from a browser is ever opened, and only `saving` writes.
"""
