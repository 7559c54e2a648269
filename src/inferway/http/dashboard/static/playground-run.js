// Sends one call and reads its answer: whole, or event by event.

export class CallFailed extends Error {
  constructor(message, details = {}) {
    super(message);
    Object.assign(this, details);
  }
}

// `tell(name, data)` hears every event of a stream. Gives the whole answer; throws CallFailed, or AbortError when it was stopped.
export async function send(body, { namespace, csrf, signal, tell }) {
  let response;
  try {
    response = await fetch("/playground/call", {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf, "x-namespace": namespace },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new CallFailed("The server cannot be reached.");
  }
  const kind = response.headers.get("content-type") ?? "";
  if (kind.startsWith("text/event-stream")) return readEvents(response.body, tell);
  if (!kind.startsWith("application/json")) throw refusedByPage(response.status);
  const answer = await response.json();
  if (response.ok) return answer;
  throw failure(answer, response.headers.get("x-request-id"));
}

function refusedByPage(status) {
  if (status === 401) return new CallFailed("Your session has ended: load the page again to sign in.");
  return new CallFailed(`The dashboard refused the call (${status}): load the page again.`);
}

function failure(envelope, requestId) {
  const told = envelope.error ?? {};
  return new CallFailed(told.message ?? "The call failed.", {
    status: envelope.status, code: told.code ?? null, type: told.type, details: told.details ?? null,
    requestId: requestId ?? envelope.request_id ?? null,
  });
}

async function readEvents(stream, tell) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let requestId = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new CallFailed("The answer broke off before its end.", { requestId });
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = readEvent(block);
      if (!event) continue;
      if (event.name === "start") requestId = event.data.request_id;
      if (event.name === "error") throw failure(event.data, requestId);
      tell(event.name, event.data);
      if (event.name === "done") return event.data;
    }
  }
}

function readEvent(block) {
  let name = "";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return name ? { name, data: JSON.parse(data) } : null;
}
