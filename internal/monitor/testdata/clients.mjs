// Calls a model server with the client libraries that agents use, and prints what each call got: the bytes of the answer as
// they came, and what the library made of them. The base URL and the directory of the libraries are its arguments.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [base, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(modules + '/'));
const load = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;
const OpenAI = await load('openai');
const Anthropic = await load('@anthropic-ai/sdk');

// Each answer's bytes are read beside the library, which gets all of them.
let raw;
const recording = async (url, init) => {
  const rsp = await fetch(url, init);
  const record = { status: rsp.status, type: rsp.headers.get('content-type'), bytes: Promise.resolve('') };
  raw.push(record);
  if (!rsp.body) return rsp;
  const [ours, theirs] = rsp.body.tee();
  record.bytes = new Response(ours).text().catch(() => 'broken off');
  return new Response(theirs, { status: rsp.status, statusText: rsp.statusText, headers: rsp.headers });
};

const openai = new OpenAI({ baseURL: base + '/v1', apiKey: 'set-by-the-monitor', maxRetries: 0, fetch: recording });
const anthropic = new Anthropic({ baseURL: base, apiKey: 'set-by-the-monitor', maxRetries: 0, fetch: recording });

const model = 'gpt-4';
const messages = [{ role: 'user', content: 'Count [cached 3] the words of this.' }];
const collect = async (stream) => {
  const out = [];
  for await (const event of stream) out.push(event);
  return out;
};

// A tool that is offered, in the way of each API, and a word that has the model call it.
const schema = { type: 'object', properties: { said: { type: 'string' } } };
const chatTools = [{ type: 'function', function: { name: 'weather', parameters: schema } }];
const responsesTools = [{ type: 'function', name: 'weather', parameters: schema, strict: false }];
const messagesTools = [{ name: 'weather', input_schema: schema }];
const ask = 'What [tool weather] is it, and [cached 2] [reasoning 3] where?';
const asking = [{ role: 'user', content: ask }];
// Anthropic's API does not tell what was reasoned.
const wondering = [{ role: 'user', content: 'What [tool weather] is it, and [cached 2] where?' }];
const told = [
  ...asking, { role: 'assistant', content: null, tool_calls: [{ id: 'call-1', type: 'function', function: { name: 'weather', arguments: '{}' } }] },
  { role: 'tool', tool_call_id: 'call-1', content: 'It rains.' },
];

const calls = {
  chatTool: () => openai.chat.completions.create({ model, messages: asking, tools: chatTools }),
  chatToolTwice: () => openai.chat.completions.create({ model, messages: asking, tools: chatTools, n: 2 }),
  chatToolStream: async () => collect(await openai.chat.completions.create({ model, messages: asking, tools: chatTools, stream: true })),
  chatToolHelper: () => openai.chat.completions.stream({ model, messages: asking, tools: chatTools }).finalChatCompletion(),
  chatToolTold: async () => collect(await openai.chat.completions.create({ model, messages: told, tools: chatTools, stream: true })),
  responsesTool: () => openai.responses.create({ model, input: ask, tools: responsesTools }),
  responsesToolStream: async () => collect(await openai.responses.create({ model, input: ask, tools: responsesTools, stream: true })),
  messageTool: () => anthropic.messages.create({ model: 'claude', max_tokens: 100, messages: wondering, tools: messagesTools }),
  messageToolStream: async () =>
    collect(await anthropic.messages.create({ model: 'claude', max_tokens: 100, messages: wondering, tools: messagesTools, stream: true })),
  messageToolHelper: () => anthropic.messages.stream({ model: 'claude', max_tokens: 100, messages: wondering, tools: messagesTools }).finalMessage(),
  chat: () => openai.chat.completions.create({ model, messages }),
  chatTwice: () => openai.chat.completions.create({ model, messages, n: 2 }),
  chatStream: async () => collect(await openai.chat.completions.create({ model, messages, stream: true })),
  chatStreamTwice: async () => collect(await openai.chat.completions.create({ model, messages, n: 2, stream: true })),
  chatStreamUsage: async () =>
    collect(await openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })),
  completion: () => openai.completions.create({ model, prompt: 'Say it again.' }),
  completionStream: async () => collect(await openai.completions.create({ model, prompt: 'Say it again.', stream: true })),
  responses: () => openai.responses.create({ model, input: 'Think [reasoning 5] of it.' }),
  responsesStream: async () => collect(await openai.responses.create({ model, input: 'Think [reasoning 5] of it.', stream: true })),
  embeddings: () => openai.embeddings.create({ model, input: ['one text', 'another text'] }),
  models: async () => (await openai.models.list()).data,
  refused: () => openai.chat.completions.create({ model, messages: [{ role: 'user', content: '[error 429] no' }] }),
  message: () => anthropic.messages.create({ model: 'claude', max_tokens: 100, messages }),
  messageStream: async () => collect(await anthropic.messages.create({ model: 'claude', max_tokens: 100, messages, stream: true })),
  countTokens: () => anthropic.messages.countTokens({ model: 'claude', messages }),
};

const aborted = async () => {
  const stream = await openai.chat.completions.create({
    model, stream: true, messages: [{ role: 'user', content: '[pace 200ms] a long answer that nobody waits for' }],
  });
  let events = 0;
  for await (const event of stream) {
    events += event ? 1 : 0;
    stream.controller.abort();
    break;
  }
  return events;
};

for (const [name, call] of Object.entries(calls)) {
  raw = [];
  let made;
  try {
    made = await call();
  } catch (err) {
    made = { error: err.constructor.name, status: err.status, message: err.message };
  }
  const answers = [];
  for (const { bytes, ...rest } of raw) answers.push({ ...rest, bytes: await bytes });
  console.log(JSON.stringify({ name, made, answers }));
}

raw = [];
console.log(JSON.stringify({ name: 'aborted', made: await aborted(), answers: [] }));
// What was begun beside the library would keep the process.
process.exit(0);
