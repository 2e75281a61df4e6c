"""Everything that touches mitmproxy: the addon, the guard around its internals, and the runner.

Rule: nothing outside this folder imports mitmproxy.
"""
