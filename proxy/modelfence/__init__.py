"""A fence in front of LLM APIs: who is calling, from where, what for and how much, by one YAML policy."""
