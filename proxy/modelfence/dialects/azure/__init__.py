"""OpenAI's models as Microsoft Azure serves them."""
