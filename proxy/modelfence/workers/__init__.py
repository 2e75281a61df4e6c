"""Several processes that serve on one port, and the supervisor that keeps them up.

Rule: what the supervisor imports loads neither mitmproxy nor CEL. It is small, and there is little in it that can fail.
"""
