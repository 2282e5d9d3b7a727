// An agent of the OpenAI Agents SDK behind plain HTTP: POST /sessions/NAME has it answer in a conversation, GET tells what was said. A
// conversation is a file in STATE_DIR. OPENAI_BASE_URL leads to the worker's monitor, which has the key.
import { Agent, run, setTracingDisabled } from '@openai/agents';
import express from 'express';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

// Traces would go to the maker of the SDK, and with the platform's key.
setTracingDisabled(true);

const dir = join(process.env.STATE_DIR, 'sessions');
await mkdir(dir, { recursive: true });

// A session that is on disk before it is answered from. Its file is whole or not there.
class FileSession {
  constructor(name) {
    this.name = name;
    this.file = join(dir, `${name}.json`);
  }

  async getSessionId() {
    return this.name;
  }

  async getItems(limit) {
    const items = JSON.parse(await readFile(this.file, 'utf8').catch((err) => (err.code === 'ENOENT' ? '[]' : Promise.reject(err))));

    return limit === undefined ? items : items.slice(-limit);
  }

  async addItems(items) {
    await this.#write([...(await this.getItems()), ...items]);
  }

  async popItem() {
    const items = await this.getItems();
    const last = items.pop();
    await this.#write(items);

    return last;
  }

  async clearSession() {
    await rm(this.file, { force: true });
  }

  async #write(items) {
    const beside = await open(`${this.file}.new`, 'w');
    await beside.writeFile(JSON.stringify(items));
    await beside.sync();
    await beside.close();
    await rename(`${this.file}.new`, this.file);
  }
}

const agent = new Agent({ name: 'worker', model: process.env.OPENAI_MODEL, instructions: process.env.AGENT_INSTRUCTIONS ?? 'You answer.' });
// One turn at a time in a conversation.
const turns = new Map();
const app = express();

app.use(express.json());
app.param('name', (req, res, next, name) => (/^[\w-]{1,64}$/.test(name) ? next() : res.status(400).json({ error: 'a session is named by letters, digits and dashes' })));
app.get('/healthz', (_req, res) => res.json({}));
app.get('/sessions/:name', async (req, res) => res.json(await new FileSession(req.params.name).getItems()));
app.post('/sessions/:name', async (req, res) => {
  const { name } = req.params;
  const before = turns.get(name) ?? Promise.resolve();
  const turn = before.catch(() => {}).then(() => run(agent, String(req.body.input), { session: new FileSession(name) }));
  turns.set(name, turn);

  try {
    res.json({ output: (await turn).finalOutput });
  } finally {
    if (turns.get(name) === turn) turns.delete(name);
  }
});

const server = app.listen(Number(process.env.PORT ?? 8080));
process.once('SIGTERM', () => server.close(() => process.exit(0)));
