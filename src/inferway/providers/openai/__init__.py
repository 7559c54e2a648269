"""OpenAI and every server that speaks its API: translators, errors, known servers and model facts."""
