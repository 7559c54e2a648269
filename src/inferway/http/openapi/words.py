"""What the description says in words: topics, places in paths, and the fields of an inference call."""

TOPICS = {
    "Inference": ("Inference", "One call for chat, vision, embeddings and transcription, whoever serves it."),
    "KeyRoutes": ("Keys", "API keys: what they may do, where, how much and how long."),
    "UserRoutes": ("Users", "The people and services that own keys."),
    "OrganizationRoutes": ("Organization", "The organization, its spend limits and its audit log."),
    "NamespaceRoutes": ("Namespaces", "The parts of an organization that calls are made in."),
    "CallRoutes": ("Kept calls", "Requests and answers, in namespaces that keep them."),
    "SecretRoutes": ("Secrets", "The callers' own provider credentials; values go in and never come out."),
    "ModelRoutes": ("Models", "Which models there are, and what each of them takes."),
    "CredentialRoutes": (
        "Credentials",
        "Whose credential each provider is called with, and whether it takes it.",
    ),
    "SpendRoutes": ("Spending", "What is spent against each spend cap."),
    "RequestRoutes": ("Requests", "Single calls: how each went, where its time went and what it cost."),
    "UsageRoutes": ("Usage", "What was used and what it cost."),
    "HealthRoutes": ("Health", "Whether every part is well."),
    "MetricsRoutes": ("Health", "Whether every part is well."),
    "Description": ("Description", "What this server offers."),
    "Pages": ("Health", "Whether every part is well."),
}
"""Where a route belongs, by the class that serves it: the topic and what it is about."""

PLACES = {
    "email": "The user's email address, in whatever case.",
    "key": "The key's id, or its name among the user's keys.",
    "namespace": "The namespace's id or name.",
    "call": "The call's request id, or its record's id.",
    "request": "The call's request id, or its record's id.",
    "secret_name": "The secret's name.",
    "audit_id": "The audit event's id.",
}

INPUTS = {
    "prompts": "Chat: one completion for each prompt, in the same order.",
    "messages": "Chat: one conversation. What an assistant said is sent back as it came.",
    "system": "Chat: what the model is told first.",
    "text": "One text to embed.",
    "texts": "Texts to embed; the vectors come in the same order.",
    "image_url": "An image: to be seen beside prompts, to be embedded without.",
    "image_base64": "The same as base64 or as a `data:` URL.",
    "image_urls": "Several images.",
    "images_base64": "Several images as base64 or as `data:` URLs.",
    "document_url": "A document to be read beside prompts.",
    "document_base64": "The same as base64 or as a `data:` URL.",
    "audio_url": "A recording: to be transcribed, or heard beside prompts.",
    "audio_base64": "The same as base64 or as a `data:` URL.",
    "video_url": "A video to embed.",
    "video_base64": "The same as base64 or as a `data:` URL.",
}

PARAMETERS = {
    "temperature": "How freely the model chooses its words.",
    "max_tokens": "The most tokens of an answer.",
    "top_p": "The share of likely tokens that are chosen from.",
    "stop": "Texts at which an answer ends.",
    "seed": "The same seed asks for the same answer, where the provider can.",
    "schema": "JSON Schema that an answer must satisfy.",
    "system": "The same as `system` of the inputs.",
    "tools": "Functions that the model may call.",
    "tool_choice": "Whether a tool is to be called, and which.",
    "reasoning_effort": "How long to think first, such as `low`, `medium`, `high`.",
    "dimensions": "The length of each vector.",
    "task_type": "What vectors are for, in the provider's own words.",
    "language": "The language of a recording.",
    "prompt": "What helps to understand a recording, such as names.",
    "response_format": "How much a transcription tells: `text`, `segments` or `words`.",
    "timeout_s": "Seconds after which the whole call ends.",
    "hedge_after_ms": "Milliseconds after which a second call goes out beside one that is not answered; 0 for none.",
    "strict": "What would be changed or dropped is a 400 instead.",
    "repair": "An answer that does not satisfy the schema is asked for once more.",
    "extra": "Fields for the provider's own request, unchanged.",
}

STATUSES = {
    400: ("BadRequest", "Not JSON, or well formed but not to be executed."),
    401: ("Unauthorized", "No usable key."),
    403: ("Forbidden", "The key may not do this, or a spend cap is reached."),
    404: ("NotFound", "There is no such thing in this organization, or the key's scopes leave it out."),
    409: ("Conflict", "A name is taken, or the thing was changed meanwhile."),
    422: ("ValidationFailed", "Not of the shape that is asked for; `details.validation_errors` says where."),
    429: ("TooManyRequests", "A limit is reached: wait for `Retry-After` seconds."),
    500: ("Failed", "The provider failed, or a defect of the server; quote the request id."),
    503: ("Unavailable", "This cannot be served now: wait for `Retry-After` seconds."),
}
"""What each refusal is called and when it comes."""
