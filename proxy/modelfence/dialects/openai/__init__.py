"""OpenAI's API, also as vLLM, SGLang and other servers speak it."""
