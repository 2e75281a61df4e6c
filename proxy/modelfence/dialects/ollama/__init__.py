"""Ollama's API, in its own words and in OpenAI's."""
