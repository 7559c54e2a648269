"""Google's models: the Gemini API and Vertex AI."""
