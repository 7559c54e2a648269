"""The playground in a real browser: every operation, side by side, and code that does what the page does."""

import ast
import base64
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect

from tests.browser.chromium import open_context, sign_in
from tests.browser.showing import Admin, Site
from tests.media.samples import png, wav

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(600)]

FIRST_PAGE_BYTES = 100_000
HOSTILE = """it's "quoted" $HOME ${PATH} $(id) `id` \\ \\n %s !! é 😀 \u2028 <b>\nJSON\nEOF\n'''\n\t#{x} {{ y }} \x7f"""


@pytest.fixture(autouse=True, scope="module")
def _patience() -> None:
    """A crowded machine takes its time."""
    expect.set_options(timeout=30_000)


@pytest.fixture
def playground(page: Page) -> Page:
    """The page, with the fake provider chosen."""
    page.goto("/playground")
    page.get_by_label("Provider", exact=True).select_option("fake")
    return page


def _open(page: Page, operation: str) -> None:
    page.get_by_role("radio", name=operation, exact=True).check(force=True)
    page.get_by_label("Provider", exact=True).first.select_option("fake")


def _ask(page: Page, *prompts: str) -> None:
    for index, prompt in enumerate(prompts):
        if index:
            page.get_by_role("button", name="Add another prompt").click()
        page.locator("[data-texts=Prompt] textarea").nth(index).fill(prompt)


def _name_model(page: Page, index: int, model: str) -> None:
    box = page.locator("#targets fieldset").nth(index)
    box.get_by_label("Model", exact=True).select_option("")
    box.get_by_label("Its name").fill(model)


def _send(page: Page) -> Locator:
    """Sends and gives the columns."""
    page.get_by_role("button", name="Send", exact=True).click()
    return page.locator(".answer")


def _done(column: Locator, word: str = "Done") -> None:
    expect(column.locator(".state .badge")).to_have_text(word)


def _figure(column: Locator, name: str) -> str:
    return column.locator(f".figures div:has(dt:text-is('{name}')) dd").inner_text()


def _text(column: Locator) -> str:
    return column.locator("pre").first.text_content() or ""


def test_three_models_answer_side_by_side(playground: Page) -> None:
    _ask(playground, "Why is the sky blue?", "And the sea?")
    playground.get_by_label("Max tokens").fill("50")
    playground.get_by_label("Seed").fill("7")
    for _ in range(2):
        playground.get_by_role("button", name="Compare with another model").click()
    expect(playground.get_by_role("button", name="Compare with another model")).to_be_disabled()
    _name_model(playground, 1, "fake-slow?chunk_ms=20")
    _name_model(playground, 2, "fake-free")
    columns = _send(playground)
    expect(columns).to_have_count(3)
    for index in range(3):
        column = columns.nth(index)
        _done(column)
        expect(column.get_by_text("which begin: Why is the sky blue?")).to_be_visible()
        expect(column.get_by_text("which begin: And the sea?")).to_be_visible()
        expect(
            column.get_by_text("parameters.seed dropped: the fake chat has no such parameter")
        ).to_be_visible()
        assert re.fullmatch(r"req_\w+", column.locator(".facts dd").last.inner_text())
        for name in ("First token", "Total", "In the server"):
            assert _figure(column, name).endswith(("ms", " s"))
    assert _figure(columns.nth(0), "Tokens") == "8 in, 30 out"
    assert _figure(columns.nth(0), "Cost") == "$0.000128"
    assert _figure(columns.nth(2), "Cost") == "$0.00"


def test_an_answer_comes_in_pieces_and_can_be_stopped(playground: Page) -> None:
    _name_model(playground, 0, "fake-slow?chunk_ms=700")
    _ask(playground, "One two three")
    column = _send(playground).first
    expect(column.locator("pre")).to_contain_text("This is")
    expect(column.locator(".state")).to_have_text("Answering …")
    column.get_by_role("button", name="Stop").click()
    _done(column, "Stopped")
    assert "three" not in _text(column)
    expect(playground.get_by_role("button", name="Stop all")).to_be_hidden()


def test_an_error_says_its_code_and_the_request(stranger_expecting_refusals: Page, site: Site) -> None:
    playground = stranger_expecting_refusals
    sign_in(playground, site.link())
    playground.goto("/playground")
    playground.get_by_label("Provider", exact=True).select_option("fake")
    playground.get_by_role("button", name="Compare with another model").click()
    _name_model(playground, 1, "fake-chat?error=rate_limited")
    _ask(playground, "Hi")
    columns = _send(playground)
    _done(columns.nth(0))
    _done(columns.nth(1), "Failed")
    expect(columns.nth(1).locator(".error")).to_contain_text("error 'rate_limited'")
    expect(columns.nth(1).locator(".facts")).to_contain_text("provider_rate_limited")
    expect(columns.nth(1).locator(".facts")).to_contain_text("req_")


def test_what_a_model_says_is_text(playground: Page) -> None:
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    playground.get_by_text("More parameters").click()
    playground.get_by_label("Extra for the provider, as JSON").fill(json.dumps({"text": markup}))
    _ask(playground, "<b>bold</b>")
    column = _send(playground).first
    _done(column)
    assert _text(column) == markup
    assert playground.locator("main img").count() == 0


def test_a_conversation_goes_on(playground: Page) -> None:
    playground.get_by_label("One conversation").check()
    playground.locator("[data-texts=Message] textarea").fill("Hello there")
    column = _send(playground).first
    _done(column)
    said = _text(column)
    column.get_by_role("button", name="Go on from this answer").click()
    areas = playground.locator("[data-texts=Message] textarea")
    expect(areas).to_have_count(3)
    assert areas.nth(1).input_value() == said
    assert playground.get_by_label("Role of message 2").input_value() == "assistant"
    playground.keyboard.type("And now?")
    column = _send(playground).first
    _done(column)
    expect(column.locator("pre")).to_contain_text("which begin: And now?")


def test_texts_are_compared(playground: Page, site: Site) -> None:
    texts = ["a boat on a lake", "a ship at sea", "a boat on a lake"]
    _open(playground, "Embedding")
    for index, text in enumerate(texts):
        if index:
            playground.get_by_role("button", name="Add another text").click()
        playground.locator("[data-texts=Text] textarea").nth(index).fill(text)
    playground.get_by_label("Dimensions").fill("16")
    column = _send(playground).first
    _done(column)
    assert _figure(column, "Dimensions") == "16"
    body = {
        "provider": "fake",
        "model": "fake-embedding",
        "inputs": {"texts": texts},
        "parameters": {"dimensions": 16},
    }
    vectors = Admin(site.served).ask("POST", "/v1/inference", body)["data"]["embeddings"]
    shown = [float(each) for each in column.locator(".matrix td").all_inner_texts()]
    wanted = [_cosine(one, other) for one in vectors for other in vectors]
    assert shown == pytest.approx(wanted, abs=0.0051)
    assert column.locator(".matrix td").nth(2).get_attribute("class") == "near5"


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def test_a_schema_is_edited_and_its_answer_shown(playground: Page) -> None:
    _open(playground, "Structured output")
    _ask(playground, "Who is it?")
    editor = playground.get_by_label("JSON Schema of the answer")
    editor.fill('{"type": "object",\n  "properties": {"city": {"type" "string"}}}')
    expect(playground.locator("#schema-said")).to_contain_text("Line 2")
    expect(editor).to_have_attribute("aria-invalid", "true")
    _send(playground)
    expect(playground.locator("#said")).to_contain_text("The schema: Line 2")
    expect(editor).to_be_focused()
    editor.fill('{"type": "text"}')
    expect(playground.locator("#schema-said")).to_contain_text('there is no type "text"')
    playground.get_by_label("Start from").select_option("a person")
    editor.fill(json.dumps(json.loads(editor.input_value())))
    playground.get_by_role("button", name="Tidy up").click()
    assert editor.input_value().count("\n") > 5
    column = _send(playground).first
    _done(column)
    assert set(json.loads(_text(column))) == {"name", "age", "email"}
    for words in ("valid", "method: native", "repairs: 0"):
        expect(column.get_by_text(words, exact=True)).to_be_visible()


def test_a_recording_is_made_and_written_down(playground: Page) -> None:
    _open(playground, "Transcription")
    playground.get_by_role("button", name="Record").click()
    expect(playground.get_by_role("button", name="Stop recording")).to_be_visible()
    expect(playground.get_by_role("button", name=re.compile(r"Stop recording \(1 s\)"))).to_be_visible()
    playground.get_by_role("button", name="Stop recording").click()
    expect(playground.locator("[data-media=audio] audio")).to_be_visible()
    expect(playground.get_by_role("link", name="Save")).to_have_attribute("download", "recording.webm")
    playground.get_by_label("Detail").select_option("segments")
    column = _send(playground).first
    _done(column)
    expect(column.locator("pre")).to_contain_text(re.compile(r"fake transcript of \d{3,} bytes"))
    expect(column.locator("table caption")).to_have_text("Segments")


def test_pictures_are_dropped_pasted_chosen_and_named(playground: Page) -> None:
    _open(playground, "Vision")
    encoded = base64.b64encode(png()).decode()
    pieces = playground.locator("[data-media=image] .pieces li")
    for event in ("drop", "paste"):
        playground.locator("[data-media=image] .drop").evaluate(
            """(place, [encoded, name]) => {
                const bytes = Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File([bytes], `${name}.png`, { type: "image/png" }));
                const given = { bubbles: true, cancelable: true };
                if (name === "drop") place.dispatchEvent(new DragEvent("drop", { ...given, dataTransfer: data }));
                else document.dispatchEvent(new ClipboardEvent("paste", { ...given, clipboardData: data }));
            }""",
            [encoded, event],
        )
        expect(playground.get_by_role("img", name=f"{event}.png")).to_be_visible()
    chooser = playground.locator("[data-media=image] input[type=file]")
    chooser.set_input_files({"name": "chosen.png", "mimeType": "image/png", "buffer": png()})
    expect(pieces).to_have_count(3)
    chooser.set_input_files({"name": "song.txt", "mimeType": "text/plain", "buffer": b"la la"})
    expect(playground.locator("[data-media=image] [role=alert]")).to_have_text("song.txt is no image.")
    playground.get_by_label("Or by URL").first.fill("https://pictures.example/cat.png")
    playground.get_by_role("button", name="Add the URL").first.click()
    expect(pieces).to_have_count(4)
    playground.get_by_role("button", name="Remove https://pictures.example/cat.png").click()
    _ask(playground, "What is this?")
    column = _send(playground).first
    _done(column)
    expect(column.locator("pre")).to_contain_text("and 3 media")


def test_parameters_say_what_each_model_makes_of_them(playground: Page) -> None:
    limits = playground.locator("#l-temperature")
    expect(limits).to_have_text("dropped: the fake chat has no such parameter")
    playground.get_by_label("Provider", exact=True).select_option("openai")
    playground.get_by_label("Model", exact=True).select_option("gpt-4o")
    expect(limits).to_have_text("0 to 2")
    playground.get_by_label("Temperature").fill("3")
    expect(limits).to_have_text("at most 2: it will be lowered")
    expect(playground.locator("#l-max_tokens")).to_have_text("1 to 16,384")
    playground.get_by_role("button", name="Compare with another model").click()
    playground.get_by_label("Provider", exact=True).nth(1).select_option("anthropic")
    playground.get_by_label("Model", exact=True).nth(1).select_option("claude-haiku-4-5")
    expect(limits).to_contain_text("claude-haiku-4-5: at most 1: it will be lowered")
    expect(playground.locator("#l-seed")).to_contain_text("claude-haiku-4-5: dropped: anthropic messages")


def test_a_dry_run_calls_nobody(playground: Page) -> None:
    _ask(playground, "Hi")
    playground.get_by_label("Max tokens").fill("9")
    playground.get_by_role("button", name="Dry run").click()
    column = playground.locator(".answer").first
    _done(column)
    request = json.loads(_text(column))
    assert request["body"]["max_tokens"] == 9
    expect(column.get_by_text("dry run: nobody was called")).to_be_visible()


def test_it_is_worked_with_keys_alone(playground: Page) -> None:
    playground.get_by_role("radio", name="Chat", exact=True).focus()
    playground.keyboard.press("ArrowRight")
    expect(playground).to_have_url(re.compile(r"\?operation=vision$"))
    expect(playground.locator("[data-media=image]")).to_be_visible()
    playground.keyboard.press("ArrowLeft")
    playground.locator("[data-texts=Prompt] textarea").focus()
    playground.keyboard.type("Typed")
    playground.keyboard.press("Control+Enter")
    _done(playground.locator(".answer").first)
    playground.get_by_role("button", name="Add another prompt").press("Enter")
    assert playground.evaluate("document.activeElement.tagName") == "TEXTAREA"
    playground.get_by_role("button", name="Remove prompt 2").press("Enter")
    assert playground.evaluate("document.activeElement.value") == "Typed"


def test_nothing_is_remembered(playground: Page) -> None:
    _ask(playground, "a secret plan")
    _done(_send(playground).first)
    assert playground.evaluate("sessionStorage.length + localStorage.length") == 0
    playground.reload()
    expect(playground.locator("[data-texts=Prompt] textarea")).to_have_value("")
    assert "secret" not in playground.url


def test_the_page_is_light(page: Page) -> None:
    sizes: dict[str, int] = {}

    def note(response: Response) -> None:
        sizes[response.url] = len(response.body())

    page.on("response", note)
    page.goto("/playground")
    page.wait_for_load_state("networkidle")
    assert len(sizes) > 8
    assert sum(sizes.values()) < FIRST_PAGE_BYTES, sizes


def test_a_key_that_may_only_read_may_look(browser: Browser, site: Site) -> None:
    keys = "/v1/organizations/users/admin@localhost/api-keys"
    made = Admin(site.served).ask("POST", keys, {"name": "only reads", "permissions": ["read"]})
    context = open_context(browser, site.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("API key").fill(made["key"])
    page.get_by_role("button", name="Sign in with the key").click()
    page.goto("/playground")
    expect(page.get_by_text("a key that may only read")).to_be_visible()
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    context.close()


class Copied:
    """Runs the code that the page shows, as somebody would who has pasted it."""

    def __init__(self, page: Page, site: Site, folder: Path) -> None:
        self._page, self._folder = page, folder
        found = Admin(site.served).ask(
            "POST", "/v1/organizations/users/admin@localhost/api-keys", {"name": f"of {folder.name}"}
        )
        self._env = os.environ | {"INFERWAY_API_KEY": found["key"], "PYTHONUTF8": "1"}

    def run(self, language: str) -> str:
        """What it prints; fails when it fails."""
        page = self._page
        page.get_by_role("radio", name=language, exact=True).check()
        shown = page.locator("#code").text_content()
        page.evaluate("navigator.clipboard.writeText('')")
        page.locator("#code-part button").click()
        code = ""
        ends = time.monotonic() + 30
        while not code and time.monotonic() < ends:
            code = page.evaluate("navigator.clipboard.readText()")
        assert code == shown
        program = ["bash", "-c", code] if language == "curl" else [sys.executable, "-c", code]
        done = subprocess.run(
            program, env=self._env, cwd=self._folder, capture_output=True, timeout=240, check=False
        )
        assert done.returncode == 0, (code, done.stderr.decode())
        return done.stdout.decode()


@pytest.fixture
def copied(playground: Page, site: Site, tmp_path: Path) -> Copied:
    return Copied(playground, site, tmp_path)


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


@needs_curl
def test_a_copied_chat_asks_what_the_page_asks(playground: Page, copied: Copied) -> None:
    _ask(playground, HOSTILE)
    playground.get_by_label("System").fill('Don\'t "shout"; $5.\n')
    playground.get_by_label("Max tokens").fill("60")
    column = _send(playground).first
    _done(column)
    said = _text(column)
    events = copied.run("curl")
    assert json.loads(events.rpartition("event: done\ndata: ")[2])["data"]["completions"][0]["text"] == said
    assert copied.run("Python").startswith(said + "\n")
    assert _printed(copied.run("mixpeek client"))["completions"][0]["text"] == said
    playground.get_by_label("Stream").uncheck()
    assert json.loads(copied.run("curl"))["data"]["completions"][0]["text"] == said
    assert copied.run("Python") == said + "\n"


@needs_curl
def test_a_copied_call_with_a_schema_and_several_prompts(playground: Page, copied: Copied) -> None:
    _open(playground, "Structured output")
    _ask(playground, "One's own", 'Two "two"')
    playground.get_by_label("Stream").uncheck()
    playground.get_by_label("Strict").check()
    playground.get_by_text("More parameters").click()
    playground.get_by_label("Stop, one a line").fill("it's\n$END")
    playground.get_by_label("Extra for the provider, as JSON").fill('{"latency_ms": 1}')
    column = _send(playground).first
    _done(column)
    parsed = json.loads(_text(column))
    found = json.loads(copied.run("curl"))["data"]["completions"]
    assert [each["parsed"] for each in found] == [parsed, parsed]
    assert copied.run("Python").count("parsed=") == 2
    assert [each["parsed"] for each in _printed(copied.run("mixpeek client"))["completions"]] == [
        parsed,
        parsed,
    ]


@needs_curl
def test_copied_embeddings_are_the_same(playground: Page, copied: Copied) -> None:
    _open(playground, "Embedding")
    playground.locator("[data-texts=Text] textarea").fill(HOSTILE)
    playground.get_by_label("Dimensions").fill("3")
    column = _send(playground).first
    _done(column)
    shown = column.locator("code").first.inner_text()
    vector = json.loads(copied.run("curl"))["data"]["embedding"]
    assert shown == "[" + ", ".join(f"{each:.4f}" for each in vector) + "]"
    assert copied.run("Python") == "1 3\n"
    assert _printed(copied.run("mixpeek client"))["embedding"] == pytest.approx(vector)


@needs_curl
@pytest.mark.parametrize("name", ["sound.wav", 'it\'s $(id) a "sound".wav'])
def test_copied_calls_read_files_where_they_run(
    playground: Page, copied: Copied, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(wav())
    _open(playground, "Transcription")
    playground.locator("[data-media=audio] input[type=file]").set_input_files(tmp_path / name)
    expect(playground.locator("[data-media=audio] .pieces li")).to_have_count(1)
    column = _send(playground).first
    _done(column)
    said = _text(column)
    assert json.loads(copied.run("curl"))["data"]["text"] == said
    assert copied.run("Python") == said + "\n"
    assert _printed(copied.run("mixpeek client"))["text"] == said


@needs_curl
def test_a_copied_call_with_pictures(playground: Page, copied: Copied, tmp_path: Path) -> None:
    names = ["one.png", "two.png"]
    for name in names:
        (tmp_path / name).write_bytes(png())
    _open(playground, "Vision")
    _ask(playground, "How many $ are in `this`?")
    playground.locator("[data-media=image] input[type=file]").set_input_files(
        [tmp_path / each for each in names]
    )
    expect(playground.locator("[data-media=image] .pieces li")).to_have_count(2)
    playground.get_by_label("Stream").uncheck()
    column = _send(playground).first
    _done(column)
    said = _text(column)
    assert "and 2 media" in said
    assert json.loads(copied.run("curl"))["data"]["completions"][0]["text"] == said
    assert copied.run("Python") == said + "\n"
    assert _printed(copied.run("mixpeek client"))["completions"][0]["text"] == said


def _printed(text: str) -> Any:
    """What Python printed of plain values."""
    return ast.literal_eval(text)
