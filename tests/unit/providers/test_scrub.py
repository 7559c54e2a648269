"""What a provider says is shown without its keys, addresses and account numbers, and otherwise unchanged."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.providers.scrub import MAX_CHARACTERS, scrub

SECRETS = [
    "sk-proj-abcDEF123456_ghi-JKL",
    "sk-ant-api03-abc123-def456",
    "sk_0123456789abcdef",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "ya29.a0AfH6SMBx-abc_def",
    "gsk_abcdefghijklmnop1234",
    "xai-abcdefgh12345678",
    "hf_abcdefghIJKLMNOP",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def_ghi",
    "aB3dE5fG7hI9jK1lM3nO5pQ7",
    "0123456789abcdef0123456789abcdef",
    "sk-ab********************wxyz",
    "someone@example.org",
    "svc-account@my-project-1.iam.gserviceaccount.com",
    "http://10.1.2.3:8000/v1/chat",
    "https://user:pass@host.internal/path?key=abc",
    "10.1.2.3:8080",
    "192.168.0.7",
    "[fd00:1:2:3::5]:8000",
    "vllm.svc.cluster.local:8000/v1",
    "localhost:11434",
    "my-backend:8000",
    "help.openai.com",
    "org-a1b2c3d4e5f6g7h8",
    "123e4567-e89b-12d3-a456-426614174000",
    "projects/my-project-123",
    "project 123456789012",
    "project_number:123456789012",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", ["{}", "It failed: {}.", 'see "{}", then retry', "({})", "a {} b"])
def test_a_secret_is_masked_wherever_it_stands(secret: str, frame: str) -> None:
    said = scrub(frame.format(secret))
    for word in (
        secret.replace("projects/", "").replace("project_number:", "").replace("project ", "").split()
    ):
        assert word not in said
    assert "[" in said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            (
                "Incorrect API key provided: <not-a-r****key>. You can find your API key at "
                "https://platform.openai.com/account/api-keys."
            ),
            "Incorrect API key provided: [key]. You can find your API key at [url].",
        ),
        (
            "Incorrect API key provided: invalid-key. You can find your API key at https://a.b/c.",
            "Incorrect API key provided: [key]. You can find your API key at [url].",
        ),
        (
            "Error while downloading https://source.unsplash.com/8xznAGy4HcY/800x400.",
            "Error while downloading [url].",
        ),
        (
            "Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_paid_tier, limit: 1000000",
            "Quota exceeded for metric: [host], limit: 1000000",
        ),
        (
            "Generative Language API has not been used in project 1028374650912 before or it is disabled.",
            "Generative Language API has not been used in project [project] before or it is disabled.",
        ),
        ("line one\r\n\tline two\u2028three", "line one line two three"),
    ],
)
def test_known_messages_read_well_after_masking(said: str, shown: str) -> None:
    assert scrub(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "prompt is too long: 3333404 tokens > 200000 maximum",
        "messages.0: Input does not match the expected shape.",
        "Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type.",
        "models/gemini-3.6-flahs is not found for API version v1beta. Call ModelService.ListModels to see the list.",
        "model: claude-haiku-4-5-20251001",
        "The model `gpt-4o-mini-transcribe-2025-12-15` does not exist or you do not have access to it.",
        "The model meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8 is not served here.",
        "Please include the request ID req_630c2c7cf0cdc55830bd88fee6ac4495 in your message.",
        "Invalid token in prompt: 123456. Minimum value is 0, maximum value is 100257 (inclusive).",
        "the supported range is from 0 (inclusive) to 2.0001 (exclusive). Update the value and try again.",
        "Rate limit reached on tokens per min (TPM): Limit 90000, Used 90000, Requested 1. Please try again in 20s.",
        "Unknown name \"mediaResolution\" at 'contents[0].parts[1]': Cannot find field.",
        "Expecting ',' delimiter: line 1 column 62",
    ],
)
def test_what_helps_the_caller_is_left_alone(said: str) -> None:
    assert scrub(said) == said


def test_a_long_message_is_cut() -> None:
    said = scrub("word " * 100_000)
    assert len(said) <= MAX_CHARACTERS
    assert said.endswith("…")


def test_a_key_that_the_reading_limit_cuts_in_half_does_not_show() -> None:
    padding = "[url] " * 664
    said = scrub(("https://aaaaaaaaaaaa.example/ " * 132) + "x" * 30 + " sk-secretsecret" + padding)
    assert "sk-" not in said


@given(st.text())
def test_any_text_becomes_one_bounded_encodable_line(text: str) -> None:
    said = scrub(text)
    assert len(said) <= MAX_CHARACTERS
    assert "\n" not in said
    assert "\r" not in said
    said.encode("utf-8")


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "_",
        "<",
        "a1",
        "1_",
        "_1",
        "a.",
        "1:",
        "a@",
        "a-",
        "http://",
        "*",
        "sk-",
        "Ab1",
        "0.",
        "project ",
        "[",
        "f:",
    ],
)
def test_hostile_repetition_costs_little_time(unit: str) -> None:
    started = time.process_time()
    scrub(unit * 1_000_000)
    assert time.process_time() - started < 0.1
