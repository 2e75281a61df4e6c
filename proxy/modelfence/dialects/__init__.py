"""One LLM API each: request to fields, response to usage, refusal to that API's own error.

Rule: pure like the core; a dialect knows one API's words and nothing of the policy, the store or the wire.
"""
