// A client of both styles of chat that app.py serves. It runs in a browser and in Node 24 (`node client.ts URL`).

type Message = { role: "system" | "user" | "assistant"; content: string };

/** A conversation that the client keeps: the server remembers nothing between two requests. */
export class Conversation {
  /** Everything that was said, for the screen. */
  readonly messages: Message[] = [];
  /** What the first `summaryIndex` messages come down to. */
  summary: string | null = null;
  summaryIndex = 0;
  private readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async say(text: string): Promise<string> {
    this.messages.push({ role: "user", content: text });
    const answer = await post(`${this.url}/v1/chat`, {
      messages: this.messages.slice(this.summaryIndex),
      summary: this.summary,
    });
    // The summary stands for exactly so many of the messages that were sent. The others are still needed word
    // for word: setting summaryIndex to messages.length would lose them.
    this.summaryIndex += answer.summarized_count;
    this.summary = answer.summary;
    this.messages.push({ role: "assistant", content: answer.response });
    return answer.response;
  }
}

/** A conversation that the server keeps under an id. */
export class Session {
  private readonly url: string;
  private readonly id: string;

  constructor(url: string, id: string) {
    this.url = url;
    this.id = id;
  }

  /** Say something. Called again with the same turn id after a lost connection, nothing happens twice. */
  async say(text: string, turnId: string = crypto.randomUUID()): Promise<any> {
    return post(`${this.url}/v1/sessions/${encodeURIComponent(this.id)}/turns`, { message: text, turn_id: turnId });
  }

  /** The same, with the text as it comes. */
  async *stream(text: string): AsyncGenerator<string> {
    const response = await fetch(`${this.url}/v1/sessions/${encodeURIComponent(this.id)}/stream`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ message: text }),
    });
    if (!response.ok || !response.body) throw new Error(`${response.status} ${await response.text()}`);
    let rest = "";
    for await (const piece of response.body.pipeThrough(new TextDecoderStream()) as any) {
      const events = (rest + piece).split("\n\n");
      rest = events.pop()!;
      for (const event of events) {
        const [kind, data] = event.split("\n").map((line) => line.slice(line.indexOf(": ") + 2));
        if (kind === "text") yield JSON.parse(data).text;
        if (kind === "error") throw new Error(data);
        if (kind === "end") return;
      }
    }
    throw new Error("the answer broke off");
  }

  /** Decide about the tool call that `say` returned as `pending`. */
  async decide(approved: boolean): Promise<any> {
    return post(`${this.url}/v1/sessions/${encodeURIComponent(this.id)}/decision`, { approved });
  }
}

async function post(url: string, body: unknown): Promise<any> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}

// In Node: one line in, one answer out.
declare const process: any;
if (typeof process !== "undefined" && process.argv[2]) {
  const conversation = new Conversation(process.argv[2]);
  const { createInterface } = await import("node:readline");
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await conversation.say(line);
    console.log(JSON.stringify({ answer, summaryIndex: conversation.summaryIndex, summary: conversation.summary }));
  }
}
