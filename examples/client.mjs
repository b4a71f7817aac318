// A client in JavaScript without dependencies: start a meeting, watch it live, read its minutes.
//
//     node examples/client.mjs [http://127.0.0.1:8080]
//
// The feed may be lost at any moment: `watch` resumes it after the last event it has seen, so that
// nothing is missed and nothing comes twice. A browser's `EventSource` does the same by itself.

const base = process.argv[2] ?? "http://127.0.0.1:8080";

const meeting = await start({
  goal: "Agree on a name",
  participants: ["planner", "dev", "qa"],
  num_rounds: 1,
  meeting_tokens: 20_000,
});
console.log(`${meeting.title} (${meeting.id}) with ${meeting.participants.length} participants`);

for await (const { event, data } of watch(meeting.id)) {
  if (event === "meeting-turn") console.log(`${data.agent_name}: ${data.response ?? data.skipped_reason}`);
  if (event === "meeting-warning") console.log(`(${data.message})`);
  if (event === "meeting-error") throw new Error(data.error);
}

const { output_md } = await request(`/api/meetings/${meeting.id}/output`);
console.log(`\n${output_md}`);

/** Start a meeting; the same key starts it only once, however often the request is sent. */
async function start(body) {
  return await request("/api/meetings/start", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
    body: JSON.stringify(body),
  });
}

/** Send a request; an error of the service is thrown with the sentence that says what to do. */
async function request(path, options) {
  const answer = await fetch(base + path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status}: ${body.detail}`);
  return body;
}

/** Give every event of a meeting once and in order, until the meeting has ended. */
async function* watch(id) {
  let lastId;
  let pauseMs = 500;
  for (;;) {
    try {
      const headers = lastId === undefined ? {} : { "Last-Event-ID": lastId };
      const answer = await fetch(`${base}/api/meetings/${id}/events`, { headers });
      if (answer.status === 204) return; // ended, and nothing is left to send
      if (!answer.ok) throw new Error(`the feed answers ${answer.status}`);
      for await (const frame of frames(answer.body)) {
        if (frame.retry !== undefined) pauseMs = Number(frame.retry);
        if (frame.id !== undefined) lastId = frame.id;
        if (frame.event) yield { event: frame.event, data: JSON.parse(frame.data) };
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch throws when the line breaks
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Read server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */
async function* frames(body) {
  let buffered = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    buffered += text;
    const blocks = buffered.split("\n\n");
    buffered = blocks.pop();
    for (const block of blocks) {
      const frame = {};
      for (const line of block.split("\n").filter((each) => !each.startsWith(":"))) {
        const [, name, value] = line.match(/^([^:]+): ?(.*)$/) ?? [];
        if (name === "data" && frame.data !== undefined) frame.data += `\n${value}`;
        else if (name) frame[name] = value;
      }
      yield frame;
    }
  }
}
